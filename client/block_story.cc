#include "client/block_story.h"

#include <fmt/format.h>

#include <algorithm>

#include "client/retry.h"

namespace ringfs::client {

void BlockStory::Add(ServerId server, const Error& error) {
  const auto known = std::find_if(tried_.begin(), tried_.end(),
                                  [&](const auto& each) { return each.first == server; });
  if (known == tried_.end()) {
    tried_.emplace_back(server, error);
  } else {
    known->second = error;
  }
}

Error BlockStory::Tell(const char* operation, const BlockKey& key, const ChunkLinks& chunks,
                       const Error& last) const {
  std::string text = fmt::format("{} block {} of data {} in pool {}", operation, key.index,
                                 Raw(key.data), Raw(key.pool));
  auto attempts = std::make_shared<Attempts>();
  attempts->pool = Raw(key.pool);
  attempts->data = Raw(key.data);
  attempts->index = key.index;
  for (const auto& [server, error] : tried_) {
    if (Raw(server) == 0) {
      text += fmt::format("; {}", error.ToString());
    } else {
      text += fmt::format("; server {}: {}", chunks.Describe(server), error.ToString());
    }
    attempts->said.emplace_back(Raw(server) == 0 ? "nobody" : chunks.Describe(server),
                                error.ToString());
  }
  // Refusals that a newer map would have ended: there was no time left to get it.
  const bool passing = WantsNewMap(last.code) || last.code == Errc::kUncommitted ||
                       last.code == Errc::kVersionMismatch;
  return Error{passing ? Errc::kTimedOut : last.code, std::move(text), std::move(attempts)};
}

}  // namespace ringfs::client
