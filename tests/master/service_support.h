#pragma once

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/async.h"
#include "common/clock.h"
#include "common/defaults.h"
#include "common/rpc/channel.h"
#include "common/rpc/server.h"
#include "master/service/service.h"
#include "master/state/database.h"
#include "master/state/state_machine.h"
#include "proto/session.pb.h"

namespace ringfs::master {

// The defaults of a master: the life of a session and the lease of a chunkserver.
inline constexpr int64_t kTtlMs = 10'000;
inline constexpr int64_t kLeaseMs = kServerLeaseMs;

class ManualClock final : public Clock {
 public:
  int64_t WallNs() const override { return 1'700'000'000 * kNsPerSecond + now_ns_; }
  int64_t MonotonicNs() const override { return now_ns_; }
  void Advance(int64_t ns) { now_ns_ += ns; }

 private:
  int64_t now_ns_ = kNsPerSecond;
};

// The master's service on a database in memory, reached over loopback. Time passes only by
// PassTime().
class TestMaster {
 public:
  explicit TestMaster(Membership* membership = nullptr, ServiceOptions options = {});
  ~TestMaster();

  // Stops the master and starts it on the same database and port.
  void Restart();
  // The same, without what is not on the disk yet.
  void Crash();
  // Lets time pass, in steps that a running master would notice.
  void PassTime(int64_t ms);

  // Time passes that the master does not notice.
  void StandStill(int64_t ms);

  // Runs everything until `done`; false when that does not come within 10 s of real time.
  bool RunUntil(const std::function<bool()>& done);
  // Runs `work` to its end.
  template <typename T>
  T Run(asio::awaitable<T> work) {
    std::optional<T> result;
    auto store = [](asio::awaitable<T> inner, std::optional<T>* out) -> asio::awaitable<void> {
      out->emplace(co_await std::move(inner));
    };
    Spawn(io_.get_executor(), store(std::move(work), &result), "test");
    RINGFS_CHECK(RunUntil([&] { return result.has_value(); }));
    return *std::move(result);
  }

  asio::io_context& io() { return io_; }
  const std::string& address() const { return address_; }
  StateMachine& state() { return *state_; }

 private:
  void Start(const std::string& listen);
  void Stop();

  asio::io_context io_{1};
  MemoryDisk disk_;
  ManualClock clock_;
  Membership* membership_;
  ServiceOptions options_;
  std::unique_ptr<StateMachine> state_;
  std::unique_ptr<MasterService> service_;
  std::unique_ptr<rpc::Server> server_;
  std::string address_;
};

// An answer that has not come yet, or has.
template <typename Message>
using Pending = std::shared_ptr<std::optional<Result<Message>>>;

// One connection to the master, with what was pushed over it.
class TestPeer {
 public:
  explicit TestPeer(TestMaster& master);
  ~TestPeer();
  TestPeer(const TestPeer&) = delete;
  TestPeer& operator=(const TestPeer&) = delete;

  template <typename Response, typename Request>
  Result<Response> Call(uint32_t method, const Request& request) {
    return master_.Run(
        rpc::CallFor<Response>(channel_, method, request.SerializeAsString(), 10'000));
  }
  Result<rpc::Answer> CallRaw(uint32_t method, const std::string& body) {
    return master_.Run(channel_->Call(method, body, {}, 10'000));
  }
  template <typename Response, typename Request>
  Pending<Response> Start(uint32_t method, const Request& request, int64_t timeout_ms = 10'000) {
    auto pending = std::make_shared<std::optional<Result<Response>>>();
    Spawn(master_.io().get_executor(),
          Store<Response>(channel_, method, request.SerializeAsString(), timeout_ms, pending),
          "test call");
    return pending;
  }

  // Takes the oldest push of `method`; waits for it.
  template <typename Message>
  Message TakePush(uint32_t method) {
    RINGFS_CHECK(master_.RunUntil([&] { return FindPush(method) != pushes_.end(); }));
    const auto found = FindPush(method);
    Message message;
    RINGFS_CHECK(message.ParseFromString(found->second));
    pushes_.erase(found);
    return message;
  }
  bool HasPush(uint32_t method) { return FindPush(method) != pushes_.end(); }
  // Everything that the master had to say up to now has arrived.
  void Settle();
  // The connection breaks; the next call makes another.
  void Disconnect();

  TestMaster& master() { return master_; }

 private:
  using Push = std::pair<uint32_t, std::string>;

  template <typename Response>
  static asio::awaitable<void> Store(std::shared_ptr<rpc::Channel> channel, uint32_t method,
                                     std::string body, int64_t timeout_ms,
                                     Pending<Response> pending) {
    Result<Response> answer =
        co_await rpc::CallFor<Response>(channel, method, std::move(body), timeout_ms);
    pending->emplace(std::move(answer));
  }
  std::vector<Push>::iterator FindPush(uint32_t method);

  TestMaster& master_;
  std::shared_ptr<rpc::Channel> channel_;
  std::vector<Push> pushes_;
};

// A mount, as the master sees it.
class TestClient : public TestPeer {
 public:
  TestClient(TestMaster& master, char name);

  // A new session; the client has none.
  void Open(int64_t ttl_ms = 0);
  // One that caches.
  void OpenCaching(int64_t ttl_ms = 0);
  // Has no session any more: the next Open() asks for a new one.
  void Forget() { session_ = 0; }
  // Returns on a new connection. `open` is what it has open.
  Result<wire::OpenSessionReply> Resume(const std::vector<wire::OpenInode>& open = {},
                                        const std::vector<uint64_t>& writing = {},
                                        const std::vector<wire::MetaRequest>& again = {});
  Result<wire::KeepAliveReply> KeepAlive();

  // With the next sequence of the slot, and no operation yet.
  wire::MetaRequest Request(uint32_t slot = 0);
  Result<wire::MetaReply> Meta(const wire::MetaRequest& request);
  Pending<wire::MetaReply> StartMeta(const wire::MetaRequest& request, int64_t timeout_ms = 10'000);

  // A regular file in the root, opened for writing, of `size` bytes.
  wire::Attributes MakeFile(const std::string& name, uint64_t size = 0);
  Result<wire::MetaReply> Extend(const wire::Attributes& file, uint64_t end, uint32_t slot = 0);
  // An flock of the whole file; it waits if there is a number for that.
  wire::MetaRequest LockRequest(uint64_t inode, wire::LockType type, uint64_t waiter = 0,
                                uint64_t owner = 1);
  Result<wire::MetaReply> Lock(uint64_t inode, wire::LockType type, uint64_t waiter = 0);

  Result<wire::MetaReply> Lookup(uint64_t parent, const std::string& name);
  Result<wire::MetaReply> GetAttributes(uint64_t inode);
  wire::MetaRequest GetAttributesRequest(uint64_t inode);

  // Takes the next recall; waits for it.
  wire::RecallPush TakeRecall() { return TakePush<wire::RecallPush>(wire::MASTER_PUSH_RECALL); }
  // Answers it with what it asks for.
  void Answer(const wire::RecallPush& recall, uint32_t readers = 0);
  void SayAllDropped();

  uint64_t session() const { return session_; }
  wire::OpenSessionRequest OpenRequest() const;

 private:
  const char name_;
  uint64_t session_ = 0;
  bool caching_ = false;
  std::vector<uint64_t> sequences_ = std::vector<uint64_t>(kSlots);
};

// The kind of the lease on `inode` that the answer names.
wire::LeaseKind LeaseIn(const wire::MetaReply& reply, uint64_t inode);

// A chunkserver, as the master sees it.
class TestServer : public TestPeer {
 public:
  TestServer(TestMaster& master, char name) : TestPeer(master), name_(name) {}

  Result<wire::RegisterServerReply> Register(uint64_t capacity_bytes = 1000,
                                             uint64_t used_bytes = 0);
  Result<wire::HeartbeatReply> Heartbeat();
  void ConfirmFence(uint64_t session);
  void ConfirmGarbage(const wire::GarbagePush& push);

  uint32_t id() const { return id_; }
  uint64_t incarnation = 1;

 private:
  const char name_;
  uint32_t id_ = 0;
};

}  // namespace ringfs::master
