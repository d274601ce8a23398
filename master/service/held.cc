#include "master/service/held.h"

#include <utility>

#include "master/service/lease_handler.h"

namespace ringfs::master {
namespace {

// A call that does not say how long it waits is held for so long.
constexpr int64_t kDefaultHoldMs = 60'000;

}  // namespace

int64_t HoldUntil(const Context& context, int64_t timeout_ms) {
  return context.clock.MonotonicNs() + (timeout_ms > 0 ? timeout_ms : kDefaultHoldMs) * kNsPerMs;
}

template <typename Key>
asio::awaitable<Result<void>> Hold(Context& context, std::shared_ptr<rpc::Peer> peer, SessionId id,
                                   EventsOf<Key>& events, Key key, int64_t until_ns) {
  Result<LiveSession*> session = SessionOf(context, *peer, id);
  if (!session) co_return Fail(session.error());
  if ((*session)->held >= context.options.max_held_per_session) {
    co_return Fail(Errc::kUnavailable, "too many requests of the session wait");
  }
  const int64_t left_ms = (until_ns - context.clock.MonotonicNs()) / kNsPerMs;
  if (left_ms <= 0) co_return Fail(Errc::kTimedOut, "waited for another session");
  ++(*session)->held;
  const bool notified = co_await events.WaitFor(key, left_ms);
  if (LiveSession* still = context.sessions.Find(id)) --still->held;
  session = SessionOf(context, *peer, id);
  if (!session) co_return Fail(session.error());
  if (!notified) co_return Fail(Errc::kTimedOut, "waited for another session");
  co_return Result<void>();
}

template asio::awaitable<Result<void>> Hold(Context& context, std::shared_ptr<rpc::Peer> peer,
                                            SessionId id, EventsOf<InodeId>& events, InodeId key,
                                            int64_t until_ns);
template asio::awaitable<Result<void>> Hold(Context& context, std::shared_ptr<rpc::Peer> peer,
                                            SessionId id, EventsOf<uint64_t>& events, uint64_t key,
                                            int64_t until_ns);

asio::awaitable<Result<void>> WaitForOthers(Context& context, std::shared_ptr<rpc::Peer> peer,
                                            SessionId session, LeaseWants wants, int64_t until_ns,
                                            uint64_t& ticket) {
  const int64_t now_ns = context.clock.MonotonicNs();
  if (ticket == 0) {
    ticket = context.leases.Wait(session, wants, now_ns);
  } else {
    context.leases.WaitAgain(ticket, wants, now_ns);
  }
  TellOfLeases(context);
  while (!context.leases.IsReady(ticket)) {
    const Result<void> held =
        co_await Hold(context, peer, session, context.lease_waits, ticket, until_ns);
    if (!held) co_return Fail(held.error());
  }
  co_return Result<void>();
}

void EndLeaseWait(Context& context, uint64_t ticket) {
  if (ticket == 0) return;
  context.leases.EndWait(ticket);
  TellOfLeases(context);
}

}  // namespace ringfs::master
