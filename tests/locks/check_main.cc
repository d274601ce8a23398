// lock_check [--unsynced-may-vanish] FEWEST FILE...: checks the histories of clients, one in each
// file. Fails also when fewer than FEWEST locks were passed from client to client: that would have
// tested little.
#include <fmt/format.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string_view>

#include "tests/locks/history.h"

int main(int count, char** arguments) {
  using namespace ringfs;
  const bool may_vanish = count > 1 && std::string_view(arguments[1]) == "--unsynced-may-vanish";
  if (may_vanish) {
    ++arguments;
    --count;
  }
  if (count < 3) {
    std::cerr << "usage: lock_check [--unsynced-may-vanish] FEWEST FILE...\n";
    return 2;
  }
  std::vector<locks::ClientHistory> clients;
  for (int i = 2; i < count; ++i) {
    std::ifstream text(arguments[i]);
    auto history = locks::Parse(arguments[i], text);
    if (!history) {
      std::cerr << history.error().ToString() << '\n';
      return 2;
    }
    clients.push_back(*std::move(history));
  }
  const locks::Verdict verdict = locks::Check(clients, may_vanish);
  for (const std::string& violation : verdict.violations) std::cerr << violation << '\n';
  std::cout << fmt::format(
      "{} locks held by {} clients, {} passed from one to another, {} lost; {} writes\n",
      verdict.holds, clients.size(), verdict.contended, verdict.lost, verdict.writes);
  const auto fewest = static_cast<size_t>(std::atoi(arguments[1]));
  if (verdict.contended < fewest) std::cerr << "fewer than " << fewest << " locks were passed on\n";
  return verdict.violations.empty() && verdict.contended >= fewest ? 0 : 1;
}
