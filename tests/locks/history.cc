#include "tests/locks/history.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <sstream>
#include <string_view>
#include <utility>

namespace ringfs::locks {
namespace {

constexpr std::array<std::string_view, 6> kCallNames = {"lock",  "share", "read",
                                                        "write", "sync",  "unlock"};

bool TakesLock(Call call) { return call == Call::kLock || call == Call::kLockShared; }

// A lock that was answered, and what was done under it.
struct Hold {
  std::string client;
  bool exclusive = true;
  int64_t start_ns = 0;
  int64_t end_ns = 0;  // held for sure until then; 0: nothing has succeeded under it
  bool lost = false;   // something was refused
  std::vector<Entry> calls;

  bool Sure() const { return end_ns != 0; }
};

void AddHolds(const ClientHistory& client, std::map<uint32_t, std::vector<Hold>>& files) {
  Hold* hold = nullptr;
  uint32_t file = 0;
  for (const Entry& entry : client.entries) {
    if (TakesLock(entry.call)) {
      hold = nullptr;
      if (!entry.succeeded) continue;
      file = entry.file;
      hold = &files[file].emplace_back();
      hold->client = client.name;
      hold->exclusive = entry.call == Call::kLock;
      hold->start_ns = *entry.returned_ns;
      continue;
    }
    if (hold == nullptr || entry.file != file) continue;
    hold->calls.push_back(entry);
    if (entry.succeeded) hold->end_ns = entry.invoked_ns;
    if (entry.returned_ns && !entry.succeeded) hold->lost = true;
    if (entry.call == Call::kUnlock) hold = nullptr;
  }
}

// `holds` of one file in the order of their starts.
void CheckExclusion(uint32_t file, const std::vector<Hold>& holds, Verdict& verdict) {
  const Hold* longest = nullptr;  // of those before, the one that ends last
  const Hold* longest_exclusive = nullptr;
  for (const Hold& hold : holds) {
    if (!hold.Sure()) continue;
    const Hold* other = hold.exclusive ? longest : longest_exclusive;
    if (other != nullptr && other->end_ns > hold.start_ns) {
      verdict.violations.push_back(fmt::format(
          "file {}: {} got the lock at {}, and {}, who had it since {}, still used it at {}", file,
          hold.client, hold.start_ns, other->client, other->start_ns, other->end_ns));
    }
    ++verdict.holds;
    if (longest != nullptr && longest->client != hold.client) ++verdict.contended;
    if (longest == nullptr || hold.end_ns > longest->end_ns) longest = &hold;
    if (hold.exclusive &&
        (longest_exclusive == nullptr || hold.end_ns > longest_exclusive->end_ns)) {
      longest_exclusive = &hold;
    }
  }
}

// The values that a file may have.
class Possible {
 public:
  explicit Possible(bool unsynced_may_vanish) : may_vanish_(unsynced_may_vanish) {}

  void BeginHold(const Hold& hold) {
    written_ = false;
    if (!hold.Sure()) return;
    const auto too_late = [&](const Value& value) { return value.since_ns > hold.start_ns; };
    std::erase_if(values_, too_late);
    std::erase_if(older_, too_late);
  }
  // What was not synced is there or not; the next holder sees.
  void EndHold() {
    if (!may_vanish_) Unite(values_, older_);
  }

  bool Contains(uint64_t value) const {
    const auto is_value = [value](const Value& each) { return each.value == value; };
    return std::any_of(values_.begin(), values_.end(), is_value) ||
           (may_vanish_ && std::any_of(older_.begin(), older_.end(), is_value));
  }
  void Seen(uint64_t value) {
    if (may_vanish_ && (values_.size() > 1 || !older_.empty())) Unite(older_, values_);
    values_ = {Value{value, 0}};
  }
  void Written(uint64_t value) {
    Unite(older_, values_);
    values_ = {Value{value, 0}};
    written_ = true;
  }
  void PerhapsWritten(uint64_t value, int64_t since_ns) {
    values_.push_back(Value{value, since_ns});
  }
  // Only the syncs of those who have written say something.
  void Synced() {
    if (written_) older_.clear();
  }

  std::string Text() const {
    std::string text;
    for (const Value& value : values_) text += fmt::format(" {:#x}", value.value);
    if (may_vanish_ && !older_.empty())
      text += fmt::format(" or one of {} older ones", older_.size());
    return text;
  }

 private:
  struct Value {
    uint64_t value = 0;
    int64_t since_ns = 0;  // when its write was begun, if that failed
  };
  static void Unite(std::vector<Value>& into, std::vector<Value>& from) {
    into.insert(into.end(), from.begin(), from.end());
    from.clear();
  }

  const bool may_vanish_;
  std::vector<Value> values_ = {Value{}};
  std::vector<Value> older_;  // there again if those after them, which are not synced, are lost
  bool written_ = false;      // under this lock
};

void CheckValues(uint32_t file, const std::vector<Hold>& holds, bool may_vanish, Verdict& verdict) {
  Possible possible(may_vanish);
  for (const Hold& hold : holds) {
    possible.BeginHold(hold);
    for (const Entry& entry : hold.calls) {
      if (entry.call == Call::kWrite && entry.succeeded) {
        ++verdict.writes;
        possible.Written(entry.value);
      } else if (entry.call == Call::kWrite) {
        possible.PerhapsWritten(entry.value, entry.invoked_ns);
      } else if (entry.call == Call::kSync && entry.succeeded) {
        possible.Synced();
      } else if (entry.call == Call::kRead && entry.succeeded) {
        if (!possible.Contains(entry.value)) {
          verdict.violations.push_back(
              fmt::format("file {}: {} read {:#x} at {}, where it could be{}", file, hold.client,
                          entry.value, entry.invoked_ns, possible.Text()));
        }
        possible.Seen(entry.value);
      }
    }
    possible.EndHold();
  }
}

std::optional<Call> CallOf(std::string_view name) {
  for (size_t i = 0; i < kCallNames.size(); ++i) {
    if (kCallNames[i] == name) return static_cast<Call>(i);
  }
  return std::nullopt;
}

// Whether `line` tells how the call of `entry` ended.
bool ParseEnd(const std::string& line, Entry& entry) {
  std::istringstream words(line);
  std::string how;
  uint64_t number = 0;
  int64_t ns = 0;
  if (!(words >> how >> number >> ns) || (how != "ok" && how != "error")) return false;
  entry.succeeded = how == "ok";
  if (entry.succeeded && entry.call == Call::kRead) entry.value = number;
  entry.returned_ns = ns;
  return true;
}

bool ParseBegin(const std::string& line, Entry& entry) {
  std::istringstream words(line);
  std::string name;
  if (!(words >> name >> entry.file >> entry.value >> entry.invoked_ns)) return false;
  const std::optional<Call> call = CallOf(name);
  if (call) entry.call = *call;
  return call.has_value();
}

}  // namespace

Verdict Check(const std::vector<ClientHistory>& clients, bool unsynced_may_vanish) {
  std::map<uint32_t, std::vector<Hold>> files;
  for (const ClientHistory& client : clients) AddHolds(client, files);
  Verdict verdict;
  for (auto& [file, holds] : files) {
    std::sort(holds.begin(), holds.end(),
              [](const Hold& a, const Hold& b) { return a.start_ns < b.start_ns; });
    verdict.lost += static_cast<size_t>(
        std::count_if(holds.begin(), holds.end(), [](const Hold& hold) { return hold.lost; }));
    CheckExclusion(file, holds, verdict);
    CheckValues(file, holds, unsynced_may_vanish, verdict);
  }
  return verdict;
}

Result<ClientHistory> Parse(std::string name, std::istream& text) {
  ClientHistory history{std::move(name), {}};
  std::string line;
  size_t number = 0;
  while (std::getline(text, line)) {
    ++number;
    if (text.eof()) break;  // cut off: there is no end of line
    Entry entry;
    const bool under_way = !history.entries.empty() && !history.entries.back().returned_ns;
    if (under_way && ParseEnd(line, history.entries.back())) continue;
    if (under_way || !ParseBegin(line, entry)) {
      return Fail(Errc::kCorrupted, fmt::format("{}:{}: {}", history.name, number, line));
    }
    history.entries.push_back(entry);
  }
  return history;
}

}  // namespace ringfs::locks
