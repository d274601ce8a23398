#include "master/service/files_handler.h"

#include <algorithm>
#include <asio/post.hpp>
#include <asio/use_awaitable.hpp>
#include <map>
#include <set>
#include <utility>

#include "common/log.h"

namespace ringfs::master {
namespace {

constexpr uint32_t kFilesAPage = 4096;
constexpr size_t kGarbageAPage = 4096;
constexpr int kMostContents = 65536;
constexpr size_t kMostSuspects = 1 << 20;

using Content = std::pair<uint32_t, uint64_t>;  // pool, data
using States = std::map<Content, wire::ContentState>;

// Others get their turn between two pages.
asio::awaitable<void> Yield(Context& context) {
  co_await asio::post(context.executor, asio::use_awaitable);
}

void Set(States& states, const Content& content, wire::ContentState state) {
  const auto found = states.find(content);
  if (found != states.end()) found->second = state;
}

// Whoever is in no inode now is in none that has been read, and gets into none that has not: a
// data id is given once, to one inode, and leaves it for the garbage. So the garbage is read last.
asio::awaitable<Result<void>> FindOwners(Context& context, States& states) {
  for (InodeId after{0};;) {
    const auto page = context.state.Files(after, kFilesAPage);
    if (!page) co_return Fail(page.error());
    for (const wire::FileContent& file : page->files()) {
      Set(states, {file.pool(), file.data()}, wire::CONTENT_LIVE);
    }
    if (page->end()) break;
    after = InodeId{page->last()};
    co_await Yield(context);
  }
  for (uint64_t after = 0;;) {
    const auto page = context.state.Garbage(after, kGarbageAPage);
    if (!page) co_return Fail(page.error());
    for (const wire::GarbageItem& item : *page) {
      Set(states, {item.pool(), item.data()}, wire::CONTENT_GARBAGE);
    }
    if (page->size() < kGarbageAPage) break;
    after = page->back().entry();
    co_await Yield(context);
  }
  co_return Result<void>();
}

int64_t LifetimeNs(const Context& context) {
  int64_t longest = context.options.session_ttl_ms * kNsPerMs;
  for (const auto& [id, session] : context.sessions.all()) {
    longest = std::max(longest, session.ttl_ns);
  }
  return longest;
}

// Decides about those that no file and no garbage has, as of `began_ns`.
Result<void> Judge(Context& context, States& states, int64_t began_ns, int64_t lifetime_ns) {
  wire::Command command;
  for (auto& [content, state] : states) {
    if (state != wire::CONTENT_UNKNOWN) {
      context.suspects.erase(content);
      continue;
    }
    if (content.second == 0 || content.second >= Raw(context.state.next_data())) {
      state = wire::CONTENT_FOREIGN;
      continue;
    }
    state = wire::CONTENT_ORPHAN;
    if (context.suspects.size() >= kMostSuspects) context.suspects.clear();
    const auto [suspect, is_new] = context.suspects.emplace(content, began_ns);
    if (is_new || began_ns - suspect->second < lifetime_ns) continue;
    state = wire::CONTENT_REMOVED;
    wire::ContentId& id = *command.mutable_add_garbage()->add_contents();
    id.set_pool(content.first);
    id.set_data(content.second);
    context.suspects.erase(suspect);
  }
  if (command.add_garbage().contents().empty()) return {};
  spdlog::warn("blocks of {} contents that are no file's are removed",
               command.add_garbage().contents_size());
  const Outcome outcome = context.log.Apply(command);
  if (outcome.error != Errc::kOk) return FailOf(outcome);
  return {};
}

}  // namespace

asio::awaitable<Result<wire::ListFilesReply>> ListFiles(Context& context,
                                                        std::shared_ptr<rpc::Peer>,
                                                        wire::ListFilesRequest request) {
  const uint32_t limit = std::clamp<uint32_t>(request.limit(), 1, kFilesAPage);
  auto files = context.state.Files(InodeId{request.after()}, limit);
  co_await context.log.WaitDurable();
  co_return files;
}

asio::awaitable<Result<wire::SweepReply>> Sweep(Context& context, std::shared_ptr<rpc::Peer>,
                                                wire::SweepRequest request) {
  if (request.contents_size() > kMostContents) {
    co_return Fail(Errc::kInvalid, "too many contents in one call");
  }
  if (std::exchange(context.sweeping, true)) co_return Fail(Errc::kBusy, "somebody else sweeps");
  States states;
  for (const wire::ContentId& id : request.contents()) {
    states.emplace(Content{id.pool(), id.data()}, wire::CONTENT_UNKNOWN);
  }
  const int64_t began_ns = context.clock.MonotonicNs();
  const int64_t lifetime_ns = LifetimeNs(context);
  Result<void> done = co_await FindOwners(context, states);
  if (done) done = Judge(context, states, began_ns, lifetime_ns);
  context.sweeping = false;
  if (!done) co_return Fail(done.error());
  wire::SweepReply reply;
  reply.set_lifetime_ms(lifetime_ns / kNsPerMs);
  for (const wire::ContentId& id : request.contents()) {
    reply.add_states(states.at(Content{id.pool(), id.data()}));
  }
  co_await context.log.WaitDurable();
  co_return reply;
}

}  // namespace ringfs::master
