#pragma once

#include <asio/awaitable.hpp>
#include <asio/thread_pool.hpp>
#include <cstdint>
#include <map>
#include <memory>

#include "common/clock.h"
#include "common/result.h"
#include "master/state/snapshot.h"
#include "master/state/state_machine.h"
#include "proto/backup.pb.h"

namespace ringfs::master {

// Hands out copies of the state while it goes on changing. A copy holds what was on the disk at one
// moment, between two groups of commands.
//
// Bounded: two copies at a time; each keeps old data in the database from being freed.
// Owns:    one thread, which reads the disk.
// Threads: everything is called on one executor. The state machine must outlive it.
class BackupHandler {
 public:
  BackupHandler(StateMachine& state, const Clock& clock) : state_(state), clock_(clock) {}

  // Begins a copy, or gives its next part. kBusy: two are being taken. kNotFound: given up, since
  // nobody asked for a minute. kInvalid: not the next part.
  asio::awaitable<Result<wire::BackupReply>> Answer(wire::BackupRequest request);
  // Gives up those that nobody asks for.
  void DropIdle();

 private:
  struct Copy {
    explicit Copy(std::unique_ptr<Snapshot> snapshot) : state(std::move(snapshot)) {}
    std::unique_ptr<Snapshot> state;
    uint64_t next_chunk = 0;
    bool reading = false;
    int64_t asked_ns = 0;
  };

  StateMachine& state_;
  const Clock& clock_;
  uint64_t last_ = 0;
  std::map<uint64_t, std::shared_ptr<Copy>> copies_;
  asio::thread_pool reader_{1};  // last: it ends first, and what it reads is still there
};

}  // namespace ringfs::master
