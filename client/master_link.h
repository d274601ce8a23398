#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "client/background.h"
#include "client/filesystem.h"
#include "client/kept_changes.h"
#include "client/meta_kind.h"
#include "client/retry.h"
#include "client/slots.h"
#include "common/clock.h"
#include "common/ids.h"
#include "common/result.h"
#include "common/rpc/channel.h"
#include "proto/lock.pb.h"
#include "proto/namespace.pb.h"
#include "proto/session.pb.h"

namespace ringfs::client {

// What the link tells, and asks of, the rest of the client. Called in the read loop: none waits.
struct MasterLinkHooks {
  // What this client has open, for the master to know after a reconnect.
  std::function<std::vector<wire::OpenInode>()> open_inodes;
  std::function<void(const wire::ClusterMap&)> map;  // complete, after each connect
  std::function<void(Epoch)> epoch;                  // the newest that the master has
  std::function<void(const wire::GrantPush&)> granted;
  std::function<void()> session_lost;  // before a new session is opened

  // Of a session that caches (Options::caching); else none of these is called.
  std::function<std::vector<InodeId>()> writing;  // inodes under a write lease
  // The session was opened, or returned to; `restarted`: at another run of the master.
  std::function<void(const wire::OpenSessionReply&, bool restarted)> returned;
  // A request was answered. What has arrived after it has not been looked at.
  std::function<void(const wire::MetaRequest&, wire::MetaReply&)> answered;
  // A change was not answered: it may have been made or not, or be made later.
  std::function<void(const wire::MetaRequest&)> unanswered;
  std::function<void(const wire::RecallPush&)> recalled;
  // The session was not renewed for so long that it may soon have expired.
  std::function<void()> overdue;
};

// When the answer to a change may come: when the master's disk has it, or, of a client that caches
// and keeps it (KeptChanges), before.
enum class Answered { kEarly, kOnDisk };

// The session with the master: opens it, returns to it after each reconnect, keeps it alive, opens
// a new one when it has expired; sends requests and tries them again.
//
// Owns:    the channel. Borrows the background, which is stopped before and joined after Close().
// Threads: only from `executor`.
class MasterLink {
 public:
  MasterLink(asio::any_io_executor executor, const Clock& clock, Options options,
             Background& background, MasterLinkHooks hooks);
  MasterLink(const MasterLink&) = delete;
  MasterLink& operator=(const MasterLink&) = delete;

  // Returns when the session is open. An error that trying again would not change comes at once.
  asio::awaitable<Result<void>> Open(Deadline deadline);
  // Ends the session, if the master can be reached at once, and the connection.
  asio::awaitable<void> Close();

  // Sends a request of the namespace until it is answered. A change takes effect at most once;
  // exactly once unless the error is kTimedOut, kUnavailable or kFenced.
  // kFenced: the session in which it was begun has expired.
  asio::awaitable<Result<wire::MetaReply>> Call(wire::MetaRequest request, Deadline deadline,
                                                Answered when = Answered::kEarly);
  // Returns when all changes that were answered are on the master's disk; at once when it has said
  // so. kFenced: the session has expired, and they may be lost.
  asio::awaitable<Result<void>> FlushNames(Deadline deadline);
  asio::awaitable<Result<wire::ClusterMap>> GetMap(Epoch since, Deadline deadline);
  // One try. False: the connection is lost, or the session.
  asio::awaitable<bool> SendLeaseAnswers(wire::LeaseAnswersRequest answers);

  // 0 while there is none.
  SessionId session() const { return session_; }
  InodeId root() const { return root_; }
  const std::string& cluster_id() const { return cluster_id_; }
  // Grows with each connect: what was only said to an earlier connection may be lost.
  uint64_t connects() const { return connects_; }
  // Notified after each connect, loss of the session, and refusal.
  Event& changed() { return changed_; }

  // Whether the session cannot have expired: the master has renewed it less than its time to live
  // ago. Else its locks may be somebody else's already.
  bool Certain() const;
  // Returns when that is so, of this session or of the next. False: the master has said nothing in
  // time.
  asio::awaitable<bool> MakeCertain(Deadline deadline);
  // For how long from now that is so; 0: there is doubt.
  int64_t LeftNs() const;
  // By the clock of the master, as far as it is known.
  int64_t MasterNowNs() const { return clock_.WallNs() + clock_offset_ns_; }

  // Somebody refuses the session: asks the master whether it still stands.
  void Suspect(SessionId session);

 private:
  asio::awaitable<Result<void>> Register();
  asio::awaitable<Result<wire::OpenSessionReply>> SendOpenSession();
  void Adopt(const wire::OpenSessionReply& reply, int64_t sent_ns);
  void Renewed(int64_t sent_ns);
  void LearnTime(int64_t master_ns);
  void LoseSession(const Error& why);
  asio::awaitable<void> KeepAlive();
  void Take(uint32_t method, const std::string& body);
  asio::awaitable<Result<rpc::Answer>> Try(uint32_t method, std::string body, const Retry& retry);
  asio::awaitable<Result<wire::MetaReply>> CallInSession(wire::MetaRequest request, MetaKind kind,
                                                         Retry retry);
  Result<wire::MetaReply> Parse(wire::MetaRequest request, const rpc::Answer& answer);
  void Unreachable(const std::string& address, const std::string& why);
  void SayThatItWaits();
  std::string WhyNot() const;
  Error Explain(const wire::MetaRequest& request, Error error) const;
  void Reconnect();

  asio::any_io_executor executor_;
  const Clock& clock_;
  Options options_;
  Background& background_;
  MasterLinkHooks hooks_;
  std::shared_ptr<rpc::Channel> channel_;
  Event changed_;
  Event ask_now_;  // there is doubt, and somebody waits
  SessionId session_{0};
  SessionId lost_{0};   // the one before, until the master knows that it is given up
  std::string client_;  // proves that this is the run of the client that opened the session
  std::string cluster_id_;
  std::shared_ptr<Slots> slots_;
  KeptChanges kept_;
  InodeId root_{kRootInode};
  int64_t ttl_ms_ = 0;
  int64_t certain_until_ns_ = 0;
  int64_t clock_offset_ns_ = 0;  // of the master's clock
  uint64_t run_ = 0;             // of the master
  uint64_t connects_ = 0;
  Error refusal_{Errc::kOk, {}};  // of the newest attempt to connect and to register
  bool closing_ = false;
};

}  // namespace ringfs::client
