#pragma once

#include <gtest/gtest.h>

#include <asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "chunkserver/server.h"
#include "chunkserver/wire.h"
#include "proto/chunk.pb.h"
#include "proto/scrub.pb.h"
#include "proto/session.pb.h"
#include "tests/chunkserver/cluster_master.h"

namespace ringfs::chunkserver {

inline constexpr uint64_t kSession = 7;
inline constexpr wire::MemberState kServes = wire::MEMBER_SERVING;

// A master and chunkservers in this process, over sockets of the loopback.
class ServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern =
        (std::filesystem::temp_directory_path() / ("ringfs-" + std::string(6, 'X'))).string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    const auto bound = master_server_.Listen("127.0.0.1:0");
    ASSERT_TRUE(bound);
    master_address_ = *bound;
    master_.live_sessions.insert(kSession);
  }

  void TearDown() override {
    for (auto& server : servers_) StopServer(server);
    for (auto& [address, channel] : channels_) channel->Close();
    master_server_.Stop();
    io_.restart();
    io_.run_for(std::chrono::seconds(5));
    servers_.clear();
    std::filesystem::remove_all(folder_);
  }

  // Runs the sockets until `done`; false when that takes more than ten seconds.
  bool RunUntil(const std::function<bool()>& done) {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    // What `done` does may be worth something: it is called no more once it has said yes.
    while (!done()) {
      if (std::chrono::steady_clock::now() >= limit) return false;
      io_.restart();
      io_.run_one_for(std::chrono::milliseconds(50));
    }
    return true;
  }

  template <typename T>
  T Await(asio::awaitable<T> work) {
    std::optional<T> result;
    Spawn(io_.get_executor(), Keep(std::move(work), result), "a test's call");
    EXPECT_TRUE(RunUntil([&] { return result.has_value(); }));
    return std::move(*result);
  }
  template <typename T>
  static asio::awaitable<void> Keep(asio::awaitable<T> work, std::optional<T>& result) {
    result = co_await std::move(work);
  }

  Result<std::string> StartServer(const std::string& directory) {
    ServerOptions options;
    options.directories.push_back(folder_ / directory);
    options.listen = "127.0.0.1:0";
    options.masters.push_back(master_address_);
    options.disk_threads = 4;
    servers_.push_back(std::make_unique<ChunkServer>(io_.get_executor(), clock_, options));
    return Await(servers_.back()->Start());
  }
  void StopServer(std::unique_ptr<ChunkServer>& server) {
    if (!server) return;
    server->Stop();
    io_.restart();
    io_.run_for(std::chrono::milliseconds(100));
    EXPECT_TRUE(server->Flush());
  }
  void StartThree() {
    for (const char* directory : {"a", "b", "c"}) {
      const auto address = StartServer(directory);
      ASSERT_TRUE(address) << address.error().ToString();
      addresses_.push_back(*address);
    }
  }

  Result<rpc::Answer> Call(uint32_t server, uint32_t method,
                           const google::protobuf::MessageLite& message, Buffer payload = {}) {
    std::shared_ptr<rpc::Channel>& channel = channels_[server];
    if (!channel) channel = rpc::Channel::Make(io_.get_executor(), {addresses_[server - 1]});
    std::vector<Buffer> payloads;
    if (!payload.empty()) payloads.push_back(payload);
    return Await(channel->Call(method, message.SerializeAsString(), payloads, 5000));
  }
  uint64_t BucketVersion() const { return master_.map.tables(0).buckets(0).version(); }

  Errc Write(uint32_t head, const std::string& text, uint32_t offset = 0,
             uint64_t session = kSession, const BlockKey& key = kBlock) {
    const Buffer payload = Buffer::CopyOf(std::as_bytes(std::span(text.data(), text.size())));
    wire::WriteRequest request;
    request.set_session(session);
    request.set_sequence(++sequence_);
    request.set_bucket_version(BucketVersion());
    wire::Change& change = *request.mutable_change();
    ToWire(key, *change.mutable_block());
    change.set_offset(offset);
    change.set_length(static_cast<uint32_t>(text.size()));
    for (const uint32_t checksum : PieceChecksums(offset, payload.bytes())) {
      change.add_checksums(checksum);
    }
    change.set_sync(true);
    if (turned_bit_) payload.data()[*turned_bit_ / 8] ^= std::byte{1} << (*turned_bit_ % 8);
    return Call(head, wire::CHUNK_WRITE, request, payload).code();
  }
  Result<std::string> Read(uint32_t head, const BlockKey& key = kBlock,
                           uint32_t length = 4096) {
    wire::ReadRequest request;
    request.set_session(kSession);
    request.set_bucket_version(BucketVersion());
    ToWire(key, *request.mutable_block());
    request.set_length(length);
    const auto answer = Call(head, wire::CHUNK_READ, request);
    if (!answer) return Fail(answer.error());
    return std::string(reinterpret_cast<const char*>(answer->payload.data()),
                       answer->payload.size());
  }

  // One pass of a server; its figures.
  wire::ScrubPass Scrubbed(uint32_t server) {
    ++order_;
    wire::ScrubPush push;
    push.set_order(order_);
    master_.Push(wire::MASTER_PUSH_SCRUB, push);
    wire::ScrubPass pass;
    EXPECT_TRUE(RunUntil([&] {
      for (const wire::ScrubPass& ended : master_.usage[server].scrub().ended()) {
        if (ended.order() == order_) pass = ended;
      }
      return pass.order() == order_;
    })) << "the scrub did not end";
    return pass;
  }

  static constexpr BlockKey kBlock{PoolId{1}, DataId{11}, 0};
  asio::io_context io_{1};
  SystemClock clock_;
  ClusterMaster master_;
  rpc::Server master_server_{io_.get_executor(), master_};
  std::filesystem::path folder_;
  std::string master_address_;
  std::vector<std::string> addresses_;
  std::vector<std::unique_ptr<ChunkServer>> servers_;
  std::map<uint32_t, std::shared_ptr<rpc::Channel>> channels_;
  uint64_t sequence_ = 0;
  std::optional<size_t> turned_bit_;  // of what is written, on the way
  uint64_t order_ = 0;  // of scrubs
};

}  // namespace ringfs::chunkserver
