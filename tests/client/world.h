#pragma once

#include <gtest/gtest.h>

#include <asio/awaitable.hpp>
#include <asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "client/filesystem.h"
#include "common/async.h"
#include "common/check.h"
#include "common/rpc/server.h"
#include "tests/support/fake_chunkserver.h"
#include "tests/support/fake_master.h"

namespace ringfs::client {

// A call that is under way; its value when it is done.
template <typename T>
using Pending = std::shared_ptr<std::optional<T>>;

// A client, a fake master and two fake chunkservers on loopback, all in one thread. Pool 1 has four
// buckets, each with server 1 as head and server 2 as the other member. Files have 64 KiB blocks.
class World {
 public:
  explicit World(int64_t timeout_ms = 30'000);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  // Connects the client. Null after an error, which `error` then is.
  Filesystem* Connect();

  template <typename T>
  Pending<T> Begin(asio::awaitable<T> work) {
    auto pending = std::make_shared<std::optional<T>>();
    Spawn(io.get_executor(), Keep(pending, std::move(work)), "test");
    return pending;
  }
  template <typename T>
  T Finish(Pending<T> pending) {
    RunUntil([&] { return pending->has_value(); });
    RINGFS_CHECK(pending->has_value());
    return **pending;
  }
  template <typename T>
  T Await(asio::awaitable<T> work) {
    return Finish(Begin(std::move(work)));
  }
  void AwaitVoid(asio::awaitable<void> work);
  // Runs until `condition` holds; fails the test after a minute.
  void RunUntil(const std::function<bool()>& condition);
  // Lets everything run that is ready, and what that makes ready. Timers are not waited for.
  void Settle();

  // Calls with fewer words. The file is opened for reading and writing.
  Opened Create(const std::string& name, OpenMode mode = {.read = true, .write = true});
  Result<uint64_t> Write(HandleId handle, uint64_t offset, std::string_view bytes);
  // "error ..." after an error.
  std::string Read(HandleId handle, uint64_t offset, size_t size);
  // Makes `server` the head, and all buckets one version older.
  void MoveHead(uint32_t server);

  asio::io_context io;
  FakeMaster master;
  FakeBlocks blocks;
  FakeChunkserver chunks1;
  FakeChunkserver chunks2;
  rpc::Server master_server;
  rpc::Server chunk_server1;
  rpc::Server chunk_server2;
  Options options;
  Error error;
  std::unique_ptr<Filesystem> fs;

 private:
  template <typename T>
  static asio::awaitable<void> Keep(Pending<T> pending, asio::awaitable<T> work) {
    T value = co_await std::move(work);
    pending->emplace(std::move(value));
  }
  void AddServer(uint32_t id, rpc::Server& server);
};

std::string Text(const std::vector<Buffer>& pieces);
Buffer BufferOf(std::string_view bytes);
// `size` bytes that depend on `seed`.
std::string Noise(size_t size, uint32_t seed);

}  // namespace ringfs::client
