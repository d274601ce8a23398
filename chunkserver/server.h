#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/thread_pool.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "chunkserver/asio_timers.h"
#include "chunkserver/directories.h"
#include "chunkserver/master_link.h"
#include "chunkserver/peers.h"
#include "chunkserver/service.h"
#include "chunkserver/store_blocks.h"
#include "chunkserver/store_figures.h"
#include "common/async.h"
#include "common/clock.h"
#include "common/metrics.h"
#include "common/rpc/server.h"

namespace ringfs::chunkserver {

struct ServerOptions {
  std::vector<std::string> directories;
  std::string listen;     // HOST:PORT
  std::string advertise;  // what others connect to; empty: what it listens on
  std::vector<std::string> masters;
  std::string zone;
  uint32_t weight = 100;
  bool accept_new = false;  // directories that are not empty
  uint32_t disk_threads = 16;
  Metrics* metrics = nullptr;  // live longer; null: nobody counts
  CallMetrics* calls = nullptr;
  uint32_t scrub_mib_per_s = 20;  // at which all blocks are read again in the background; 0: never
};

// A whole chunkserver.
//
// Owns:    its stores and connections.
// Threads: everything but the calls of the stores happens on `executor`, which one thread runs. To
// be
//          destroyed before the io_context, after that has run out of work.
class ChunkServer final : private LinkedServer {
 public:
  ChunkServer(asio::any_io_executor executor, const Clock& clock, ServerOptions options);
  ~ChunkServer() override;
  ChunkServer(const ChunkServer&) = delete;
  ChunkServer& operator=(const ChunkServer&) = delete;

  // Opens the directories, listens and registers; waits for a master as long as there is none.
  // Returns the address that others connect to. The error's detail is a sentence for the
  // administrator. kCancelled: Stop() was called.
  asio::awaitable<Result<std::string>> Start();
  // Whether Start() failed because the master has removed this server.
  bool removed() const { return link_.removed(); }
  // Ends everything; work that is under way ends with errors. The io_context runs out of work soon
  // after.
  void Stop();
  // Makes everything durable. After Stop(), when the io_context has run out of work. False: a disk
  // failed.
  bool Flush();

 private:
  wire::RegisterServerRequest Registration() override;
  wire::ServerUsage Usage() override;
  Result<Replica*> Registered(const wire::RegisterServerReply& reply) override;
  Replica* replica() override { return replica_.get(); }
  void LookAtStores() override;
  asio::awaitable<void> SessionEnded(SessionId session) override;

  Result<void> Listen();
  Result<void> OpenStores(const wire::ClusterMap& map);
  asio::awaitable<void> ForgetSessions();
  bool CountedOn();
  asio::awaitable<void> ReturnStores();

  asio::any_io_executor executor_;
  ServerOptions options_;
  AsioTimers timers_;
  asio::thread_pool disk_pool_;
  DirectoryIdentity identity_;
  uint64_t incarnation_ = 0;
  std::unique_ptr<StoreSet> stores_;
  std::optional<StoreBlocks> blocks_;
  std::function<BucketId(const BlockKey&)> bucket_of_;
  DiskFigures disk_figures_;
  bool stores_returned_ = false;  // those that were missing have got their second chance
  bool returning_ = false;        // or are getting it
  MasterLink link_;
  Peers peers_;
  std::unique_ptr<Replica> replica_;
  std::optional<StoreFigures> figures_;
  Answerer answerer_;
  ChunkService service_;
  rpc::Server rpc_server_;
  Event stopping_;
  bool stopped_ = false;
};

}  // namespace ringfs::chunkserver
