#include "chunkserver/server.h"

#include <algorithm>
#include <asio/ip/host_name.hpp>
#include <cstring>
#include <utility>

#include "chunkserver/wire.h"
#include "common/log.h"
#include "common/ring/ring.h"

namespace ringfs::chunkserver {
namespace {

constexpr int64_t kForgetEveryMs = 300'000;

uint64_t NewIncarnation() {
  const std::string bytes = RandomBytes(sizeof(uint64_t));
  uint64_t number = 0;
  std::memcpy(&number, bytes.data(), sizeof(number));
  return number | 1;  // never 0
}

// How blocks are spread over the buckets of their pool. All pools have as many (docs/formats/master.md),
// those too that are made while this server runs. kVersion: they have not.
using BucketFunction = std::function<BucketId(const BlockKey&)>;
Result<BucketFunction> BucketsOf(const wire::ClusterMap& map) {
  const uint32_t bits = map.pools().empty() ? 0 : map.pools(0).bucket_bits();
  for (const wire::Pool& pool : map.pools()) {
    if (pool.bucket_bits() == bits) continue;
    return Fail(Errc::kVersion, "the cluster has pools with different numbers of buckets");
  }
  return BucketFunction(
      [bits](const BlockKey& key) { return BucketOf(key.data, key.index, bits); });
}

rpc::ServerOptions CountedBy(CallMetrics* calls) {
  rpc::ServerOptions options;
  options.metrics = calls;
  return options;
}

// "0.0.0.0:7" cannot be connected to from elsewhere; the host's name can, one hopes.
std::string Reachable(const std::string& bound) {
  for (const std::string any : {"0.0.0.0:", "[::]:"}) {
    if (!bound.starts_with(any)) continue;
    std::error_code error;
    const std::string host = asio::ip::host_name(error);
    return (error ? "127.0.0.1" : host) + ":" + bound.substr(any.size());
  }
  return bound;
}

}  // namespace

ChunkServer::ChunkServer(asio::any_io_executor executor, const Clock& clock, ServerOptions options)
    : executor_(executor),
      options_(std::move(options)),
      timers_(executor, clock),
      disk_pool_(options_.disk_threads),
      incarnation_(NewIncarnation()),
      link_(executor, clock, *this, options_.masters),
      peers_(executor,
             [this](ServerId server) { return replica_->context().map.AddressOf(server); }),
      service_(answerer_),
      rpc_server_(executor, service_, CountedBy(options_.calls)),
      stopping_(executor) {
  answerer_.metrics = options_.metrics;
  if (options_.metrics == nullptr) return;
  figures_.emplace(*options_.metrics);
  peers_.CountIn(*options_.metrics);
}

ChunkServer::~ChunkServer() { disk_pool_.join(); }

asio::awaitable<Result<std::string>> ChunkServer::Start() {
  Result<DirectoryIdentity> identity = ReadDirectories(options_.directories, options_.accept_new);
  if (!identity) co_return Fail(identity.error());
  identity_ = std::move(*identity);
  const Result<void> listening = Listen();
  if (!listening) co_return Fail(listening.error());
  const auto map = co_await link_.AskForCluster();
  if (!map) co_return Fail(map.error());
  const Result<void> opened = OpenStores(*map);
  if (!opened) co_return Fail(opened.error());
  const Result<void> registered = co_await link_.Start();
  if (!registered) co_return Fail(registered.error());
  Spawn(executor_, ForgetSessions(), "forgetting of sessions");
  co_return answerer_.address;
}

Result<void> ChunkServer::Listen() {
  const Result<std::string> bound = rpc_server_.Listen(options_.listen);
  if (!bound) return Fail(bound.error());
  answerer_.address = options_.advertise.empty() ? Reachable(*bound) : options_.advertise;
  return {};
}

Result<void> ChunkServer::OpenStores(const wire::ClusterMap& map) {
  const std::string cluster = ToHex(map.cluster_id());
  if (!identity_.cluster.empty() && identity_.cluster != cluster) {
    return Fail(Errc::kWrongCluster,
                options_.directories.front() + " belongs to another cluster than the master's");
  }
  identity_.cluster = cluster;
  auto buckets = BucketsOf(map);
  if (!buckets) return Fail(buckets.error());
  bucket_of_ = *std::move(buckets);
  if (figures_) disk_figures_ = figures_->disk;
  auto stores = OpenDirectories(options_.directories, identity_, bucket_of_, disk_figures_);
  if (!stores) return Fail(stores.error());
  stores_ = std::move(*stores);
  blocks_.emplace(disk_pool_, *stores_);
  blocks_->LookForFailures();
  if (figures_) blocks_->CountIn(*figures_->corrupt_blocks);
  peers_.SetIdentity(map.cluster_id());
  answerer_.cluster_id = map.cluster_id();
  answerer_.uuid = FromHex(identity_.server);
  return {};
}

wire::RegisterServerRequest ChunkServer::Registration() {
  wire::RegisterServerRequest request;
  request.set_cluster_id(answerer_.cluster_id);
  request.set_uuid(answerer_.uuid);
  request.set_address(answerer_.address);
  request.set_zone(options_.zone);
  std::error_code error;
  const std::string host = asio::ip::host_name(error);
  if (!error) request.set_host(host);
  request.set_weight(options_.weight);
  request.set_version(RINGFS_VERSION);
  request.set_incarnation(incarnation_);
  *request.mutable_usage() = Usage();
  return request;
}

wire::ServerUsage ChunkServer::Usage() {
  wire::ServerUsage usage;
  for (const StoreSet::Status& status : stores_->Statuses()) {
    if (status.error) usage.set_failed_stores(usage.failed_stores() + 1);
  }
  if (replica_) *usage.mutable_scrub() = ToWire(replica_->scrub().report());
  const Result<StoreUsage> sum = stores_->Usage();
  if (!sum && figures_) figures_->Update(usage);
  if (!sum) return usage;  // no store is left, which the number of failed ones says
  usage.set_capacity_bytes(sum->capacity_bytes);
  usage.set_used_bytes(sum->used_bytes);
  usage.set_blocks(sum->blocks);
  if (figures_) figures_->Update(usage);
  return usage;
}

Result<Replica*> ChunkServer::Registered(const wire::RegisterServerReply& reply) {
  if (reply.cluster_id() != answerer_.cluster_id) {
    return Fail(Errc::kWrongCluster, "the master belongs to another cluster than the data");
  }
  const ServerId self{reply.server()};
  if (replica_ && replica_->context().self != self) {
    return Fail(Errc::kInvalid, "the master has given this server another number");
  }
  if (!replica_) {
    replica_ = std::make_unique<Replica>(self, Seams{executor_, timers_, *blocks_, peers_, link_});
    answerer_.replica = replica_.get();
    answerer_.blocks = &*blocks_;
    Spawn(executor_, replica_->scrub().Run(uint64_t{options_.scrub_mib_per_s} << 20), "scrub");
  }
  const Result<void> installed = replica_->Registered(reply.map());
  if (!installed) return Fail(installed.error());
  return replica_.get();
}

// A disk that has failed takes its blocks with it. The server then comes back as one that has
// restarted: set aside wherever others serve, it catches up on the disks that it has left.
void ChunkServer::LookAtStores() {
  if (blocks_->LookForFailures() > 0) {
    for (const StoreSet::Status& status : stores_->Statuses()) {
      if (status.error) spdlog::error("{} is out: {}", status.name, status.error->ToString());
    }
    incarnation_ = NewIncarnation();
    replica_->context().lease.Drop();
    link_.RegisterAgain();
    return;
  }
  if (!blocks_->AnyOut() || CountedOn()) return;
  if (!stores_returned_ && !stores_->Missing().empty()) {
    stores_returned_ = true;
    Spawn(executor_, ReturnStores(), "return of stores");
  } else if (!returning_) {
    stores_->AbandonFailed();
  }
}

// Whether this server serves a bucket, maybe alone, of which a store that is out has blocks.
bool ChunkServer::CountedOn() {
  const auto counted_on = [this](const BucketKey& bucket) {
    return blocks_->MayMiss(bucket.pool, bucket.bucket);
  };
  const auto serving =
      replica_->context().map.BucketsWith(replica_->context().self, MemberState::kServing);
  return std::any_of(serving.begin(), serving.end(), counted_on);
}

// A store whose journal is damaged has old versions of some blocks. As long as others serve all
// that it holds, that is no harm: what differs is copied from them before it counts again.
asio::awaitable<void> ChunkServer::ReturnStores() {
  returning_ = true;
  for (const std::string& path : stores_->Missing()) {
    auto job = [&] { return ReturnDirectory(*stores_, path, identity_, bucket_of_, disk_figures_); };
    const Result<void> returned = co_await RunOn(disk_pool_, std::move(job));
    if (returned) {
      spdlog::warn("{} takes part again: what it has lost is copied from other servers", path);
    } else {
      spdlog::error("{} stays out, and must be emptied before it is used again: {}", path,
                    returned.error().ToString());
    }
  }
  returning_ = false;
  // Those that are left are abandoned at the next look.
  blocks_->LookForFailures();
}

asio::awaitable<void> ChunkServer::SessionEnded(SessionId session) {
  replica_->SessionEnded(session);
  const Result<void> dropped = co_await blocks_->DropTags(session);
  // They are looked for again later.
  if (!dropped) spdlog::debug("writes of a session: {}", dropped.error().ToString());
}

asio::awaitable<void> ChunkServer::ForgetSessions() {
  while (!stopped_) {
    co_await stopping_.WaitFor(kForgetEveryMs);
    if (stopped_) co_return;
    std::vector<SessionId> sessions = stores_->TaggedSessions();
    for (const SessionId session : replica_->DroppingSessions()) sessions.push_back(session);
    for (const SessionId session : sessions) {
      const Result<bool> live = co_await link_.IsLive(session);
      if (live && !*live) co_await SessionEnded(session);
    }
  }
}

void ChunkServer::Stop() {
  stopped_ = true;
  stopping_.NotifyAll();
  if (replica_) replica_->Stop();
  timers_.Stop();
  link_.Close();
  peers_.Close();
  rpc_server_.Stop();
}

bool ChunkServer::Flush() {
  if (!stores_) return true;
  const Result<void> synced = stores_->SyncAll();
  if (!synced) spdlog::error("not everything could be flushed: {}", synced.error().ToString());
  return static_cast<bool>(synced);
}

}  // namespace ringfs::chunkserver
