#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <list>
#include <unordered_map>
#include <vector>

#include "client/background.h"
#include "common/async.h"
#include "common/ids.h"
#include "proto/lease.pb.h"

namespace ringfs::client {

// What goes with a lease. All are there from the start; each may do nothing.
struct LeaseHooks {
  // The kernel's attributes, and with `pages` its pages and entries, of the inode go; returns when
  // they are gone. Requests of the mount that this causes or waits for are served meanwhile.
  std::function<asio::awaitable<void>(InodeId inode, bool pages)> forget_in_kernel;
  // Returns when reads of the inode that were answered while the lease went have left no pages in the
  // kernel.
  std::function<asio::awaitable<void>(InodeId inode)> reads_settled;
  // A write lease is going: what was held back under it reaches the chunkservers and the master
  // before this returns. An error is the callee's to keep for whoever is to be told.
  std::function<asio::awaitable<void>(InodeId inode)> flush_for_recall;
  // Whether a read lease is of use. Not while the file is open here for writing: see Mount.
  std::function<bool(InodeId inode)> wants_read;
  // The lease begins to go, before the two above: what is cached here of the inode is void.
  std::function<void(InodeId inode)> dropped;
  // Fills writers, and unless a read lease is kept readers: handles opened under the lease that the
  // master does not know of. From here on they count as told; after a reconnect everything is said
  // again.
  std::function<void(wire::LeaseAnswer& answer)> tell_opens;
  // One try. False: the connection is lost.
  std::function<asio::awaitable<bool>(wire::LeaseAnswersRequest answers)> send;
};

// The leases of this session: taken from answers in the order in which they arrive, recalled by the
// master, given back when there are too many.
//
// Threads: only from `executor`; what the master says is put in from the read loop, before anything
//          that came after it is looked at.
class Leases {
 public:
  Leases(asio::any_io_executor executor, Background& background, size_t max_leases,
         LeaseHooks hooks);

  // What is cached of the inode may be used: there is a lease of either kind, and it is not going.
  bool HoldsRead(InodeId inode) const { return Number(inode) != 0; }
  // Changes of the inode may be held back.
  bool HoldsWrite(InodeId inode) const;
  // Of the lease that HoldsRead() tells of; 0: none. The same number later says that it was held
  // all along.
  uint64_t Number(InodeId inode) const;
  // As HoldsRead(), also while it is going.
  bool IsThere(InodeId inode) const { return leases_.contains(inode); }
  // The lease that had this number when it was held is there, maybe going: what others change was
  // not changed since.
  bool IsStillThere(InodeId inode, uint64_t number) const;
  // The lease is being recalled: requests that its end may depend on must be served without it.
  bool IsGoing(InodeId inode) const;
  // Returns when the lease is not going any more, or when no recall has ended for `timeout_ms`.
  asio::awaitable<void> WaitWhileGoing(InodeId inode, int64_t timeout_ms);

  // An answer names a lease. True: what it shows may be cached under it.
  bool Take(const wire::LeaseGrant& grant);
  void Recall(const wire::RecallPush& push);

  // The session is back at the run of the master that it had: recalls whose answers were lost come
  // again.
  void Reconnected();
  // It is back at another run, which knows of no lease but `kept`, and waits to hear that all
  // others are gone.
  void MasterRestarted(const std::vector<wire::LeaseGrant>& kept);
  // The session has expired, or may have soon: nothing may be used any more, here or in the kernel.
  // What is held back is not flushed.
  void DropAll();

  // A lease, or a read lease, that is not wanted any more is given back.
  void GiveBack(InodeId inode);
  void GiveBackRead(InodeId inode);
  // An inode that has lost its last name and that nobody here has open: its lease is given back, soon
  // and with others. The kernel drops it by itself.
  void GiveBackRemoved(InodeId inode);
  // The kernel is still made to forget what goes with leases that were dropped at once.
  bool IsForgetting() const { return forgetting_ > 0; }

  // Inodes under a write lease, going or not.
  std::vector<InodeId> Writing() const;
  size_t size() const { return leases_.size(); }

 private:
  struct Lease {
    uint64_t number = 0;
    wire::LeaseKind kind = wire::LEASE_NONE;
    wire::LeaseKind keep = wire::LEASE_NONE;  // while going
    bool going = false;
    std::list<InodeId>::iterator age;
  };
  using Table = std::unordered_map<InodeId, Lease>;

  Lease* Find(InodeId inode, uint64_t number);
  void Begin(InodeId inode, Lease& lease, wire::LeaseKind keep);
  asio::awaitable<void> GiveUp(InodeId inode, uint64_t number);
  void Remove(Table::iterator lease);
  asio::awaitable<void> ForgetInKernel(std::vector<InodeId> inodes);
  void Answer(InodeId inode, uint64_t number, wire::LeaseKind kept);
  void AddAnswer(InodeId inode, uint64_t number, wire::LeaseKind kept);
  bool HasToTellAllDropped() const { return owes_all_dropped_ && forgetting_ == 0; }
  void StartSending();
  asio::awaitable<void> SendLater();
  asio::awaitable<void> SendAnswers();
  void GiveBackOldest();

  asio::any_io_executor executor_;
  Background& background_;
  size_t max_leases_;
  LeaseHooks hooks_;
  Table leases_;
  std::list<InodeId> by_age_;                   // oldest first
  std::unordered_map<InodeId, uint64_t> void_;  // recalled before they were granted: up to here
  int forgetting_ = 0;  // the kernel may still have something of leases that were dropped at once
  std::vector<wire::LeaseAnswer> answers_;  // to be sent
  // Given back, up to these numbers; the master may still name them until it has answered.
  std::unordered_map<InodeId, uint64_t> given_back_;
  bool owes_all_dropped_ = false;           // to this run of the master
  bool sending_ = false;
  bool sending_later_ = false;
  uint64_t connections_ = 0;
  Event changed_;
};

}  // namespace ringfs::client
