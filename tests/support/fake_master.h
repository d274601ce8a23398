#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/async.h"
#include "common/locks/lock_table.h"
#include "common/rpc/server.h"
#include "proto/cluster.pb.h"
#include "proto/lease.pb.h"
#include "proto/namespace.pb.h"
#include "proto/session.pb.h"

namespace ringfs {

// A master for tests of clients: sessions, slots, one directory of regular files, cuts, turns and
// locks as the test says. It keeps what it was asked.
//
// Threads: only from its server's executor.
class FakeMaster final : public rpc::Service {
 public:
  explicit FakeMaster(asio::any_io_executor executor);

  asio::awaitable<Result<rpc::Reply>> Handle(std::shared_ptr<rpc::Peer> peer,
                                             rpc::Call call) override;

  // What the test may look at and change.
  wire::ClusterMap map;
  std::map<uint64_t, wire::Attributes> files;  // by inode
  std::map<std::string, uint64_t> names;
  uint32_t slots = 8;
  int64_t ttl_ms = 60'000;
  uint64_t session = 0;        // the newest
  uint64_t run = 1;
  std::set<uint64_t> expired;  // sessions that are fenced
  std::vector<wire::OpenSessionRequest> sessions_opened;
  std::vector<wire::MetaRequest> asked;  // in order of arrival, with repetitions
  int applied = 0;                       // changes, without repetitions
  std::shared_ptr<rpc::Peer> peer;       // the newest session's connection

  // Called before a request is carried out; an error is answered instead (and not recorded).
  std::function<std::optional<Error>(const wire::MetaRequest&)> before;
  // Called after; true: the connection is cut instead of answering.
  std::function<bool(const wire::MetaRequest&)> lose_answer;
  // Nothing is said of how the session stands: keepalives wait for Release().
  bool mute = false;
  // Requests for which this is true wait for Release().
  std::function<bool(const wire::MetaRequest&)> hold;
  void Release() { released_.NotifyAll(); }

  // How lock requests are answered.
  bool queue_locks = false;
  bool cancel_finds_granted = false;
  wire::LockStatusReply lock_status;
  // Instead: by a real table, and (lease_locks) with the lease of the flocks to whoever asks for it.
  std::optional<LockTable> locks;
  bool lease_locks = false;
  void PushGrant(uint64_t inode, uint64_t waiter);
  void PushEpoch();

  // Leases: of this kind with each answer, on the inodes that it shows. Nothing: none.
  std::optional<wire::LeaseKind> grants;
  std::vector<wire::LeaseAnswer> lease_answers;  // as they came
  int all_dropped = 0;                           // how often a client has said so
  void PushRecall(uint64_t inode, wire::LeaseKind keep);
  // Another run of the master: it knows of no leases, and cuts the connection.
  void Restart();

  // Changes that the client keeps are answered with a number; all are on the disk at `flushed`.
  bool answers_early = false;
  uint64_t flushed = 0;
  uint64_t removed = 0;  // an inode that an unlink takes the last name of


  // How often an operation was asked for.
  int Count(wire::MetaRequest::OperationCase operation) const;
  const wire::MetaRequest* Last(wire::MetaRequest::OperationCase operation) const;

 private:
  Result<wire::OpenSessionReply> OpenSession(const std::shared_ptr<rpc::Peer>& peer,
                                             const wire::OpenSessionRequest& request);
  asio::awaitable<Result<rpc::Reply>> HandleMeta(std::shared_ptr<rpc::Peer> peer,
                                                 wire::MetaRequest request);
  Result<wire::MetaReply> Apply(const wire::MetaRequest& request);
  Result<wire::MetaReply> ApplyToFile(const wire::MetaRequest& request);
  Result<wire::MetaReply> ApplyLock(const wire::MetaRequest& request);
  Result<wire::MetaReply> Create(const wire::Create& create);
  Result<wire::MetaReply> Resize(uint64_t session_id, const wire::SetAttributes& set);
  Result<wire::MetaReply> Extend(const wire::Extend& extend);
  Result<wire::MetaReply> ReplyWith(uint64_t inode);

  Result<wire::MetaReply> ApplyLockForReal(const wire::MetaRequest& request);
  void Grant(uint64_t inode, wire::LeaseKind kind, wire::MetaReply& reply);
  void AddGrants(const wire::MetaRequest& request, wire::MetaReply& reply);

  struct Slot {
    uint64_t sequence = 0;
    Result<wire::MetaReply> reply{Fail(Errc::kProtocol)};
  };

  Event released_;
  uint64_t last_inode_ = 1;
  uint64_t last_data_ = 100;
  uint64_t last_lease_ = 0;
  uint64_t last_change_ = 0;
  std::map<uint64_t, uint64_t> leases_;  // numbers, by inode
  std::map<std::pair<uint64_t, uint32_t>, Slot> slots_;  // by session and slot
};

}  // namespace ringfs
