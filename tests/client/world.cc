#include "tests/client/world.h"

#include <random>

namespace ringfs::client {

World::World(int64_t timeout_ms)
    : master(io.get_executor()),
      chunks1(1, master.map, blocks),
      chunks2(2, master.map, blocks),
      master_server(io.get_executor(), master),
      chunk_server1(io.get_executor(), chunks1),
      chunk_server2(io.get_executor(), chunks2) {
  auto address = master_server.Listen("127.0.0.1:0");
  RINGFS_CHECK(address);
  options.masters.push_back(*address);
  options.timeout_ms = timeout_ms;
  AddServer(1, chunk_server1);
  AddServer(2, chunk_server2);
  wire::Pool& pool = *master.map.add_pools();
  pool.set_id(1);
  pool.set_replicas(2);
  pool.set_bucket_bits(2);
  wire::BucketTable& table = *master.map.add_tables();
  table.set_pool(1);
  for (uint32_t id = 0; id < 4; ++id) {
    wire::Bucket& bucket = *table.add_buckets();
    bucket.set_id(id);
    bucket.set_version(1);
    for (const uint32_t server : {1u, 2u}) {
      bucket.add_servers(server);
      bucket.add_states(wire::MEMBER_SERVING);
    }
  }
}

void World::AddServer(uint32_t id, rpc::Server& server) {
  auto address = server.Listen("127.0.0.1:0");
  RINGFS_CHECK(address);
  wire::Server& entry = *master.map.add_servers();
  entry.set_id(id);
  entry.set_address(*address);
  entry.set_state(wire::SERVER_UP);
}

World::~World() {
  master.hold = nullptr;
  master.mute = false;
  master.Release();
  if (fs) AwaitVoid(fs->Close());
  fs.reset();
  master_server.Stop();
  chunk_server1.Stop();
  chunk_server2.Stop();
  Settle();
}

Filesystem* World::Connect() {
  auto pending = std::make_shared<std::optional<Result<bool>>>();
  auto connect = [](World* world) -> asio::awaitable<Result<bool>> {
    auto connected = co_await Filesystem::Connect(world->io.get_executor(), world->options);
    if (!connected) co_return Fail(connected.error());
    world->fs = *std::move(connected);
    co_return true;
  };
  auto connected = Await(connect(this));
  if (!connected) error = connected.error();
  return fs.get();
}

void World::AwaitVoid(asio::awaitable<void> work) {
  auto run = [](asio::awaitable<void> inner) -> asio::awaitable<bool> {
    co_await std::move(inner);
    co_return true;
  };
  Await(run(std::move(work)));
}

void World::RunUntil(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) {
      ADD_FAILURE() << "it did not happen within a minute";
      return;
    }
    io.restart();
    io.run_one_for(std::chrono::milliseconds(100));
  }
}

void World::Settle() {
  // Loopback has what was sent at once; what only time makes ready is not waited for.
  constexpr int kRoundsMax = 1000;
  for (int round = 0; round < kRoundsMax; ++round) {
    io.restart();
    if (io.poll() == 0) return;
  }
}

Opened World::Create(const std::string& name, OpenMode mode) {
  auto opened = Await(fs->Create(kRootInode, name, 0644, false, mode, Caller{}));
  RINGFS_CHECK(opened);
  return *opened;
}

Result<uint64_t> World::Write(HandleId handle, uint64_t offset, std::string_view bytes) {
  return Await(fs->Write(handle, offset, BufferOf(bytes), false));
}

std::string World::Read(HandleId handle, uint64_t offset, size_t size) {
  auto pieces = Await(fs->Read(handle, offset, size));
  return pieces ? Text(*pieces) : "error " + pieces.error().ToString();
}

void World::MoveHead(uint32_t server) {
  for (wire::Bucket& bucket : *master.map.mutable_tables(0)->mutable_buckets()) {
    bucket.set_version(bucket.version() + 1);
    for (int i = 0; i < bucket.servers_size(); ++i) {
      bucket.set_states(i,
                        bucket.servers(i) == server ? wire::MEMBER_SERVING : wire::MEMBER_OFFLINE);
    }
  }
  master.map.set_epoch(master.map.epoch() + 1);
}

std::string Text(const std::vector<Buffer>& pieces) {
  std::string text;
  for (const Buffer& piece : pieces) {
    text.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  }
  return text;
}

Buffer BufferOf(std::string_view bytes) { return Buffer::CopyOf(std::as_bytes(std::span(bytes))); }

std::string Noise(size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

}  // namespace ringfs::client
