#include "tests/chunkserver/cluster_master.h"

#include <utility>

#include "proto/session.pb.h"

namespace ringfs::chunkserver {

ClusterMaster::ClusterMaster() {
  map.set_epoch(1);
  map.set_cluster_id("0123456789abcdef");
  map.set_complete(true);
  map.add_pools()->set_id(1);  // of one bucket
  map.add_tables()->set_pool(1);
  map.mutable_tables(0)->add_buckets();
}

asio::awaitable<Result<rpc::Reply>> ClusterMaster::Handle(std::shared_ptr<rpc::Peer> peer,
                                                          rpc::Call call) {
  switch (call.method) {
    case wire::MASTER_GET_MAP:
      co_return rpc::ReplyWith(map);
    case wire::MASTER_REGISTER_SERVER:
      if (removes) co_return Fail(Errc::kNotPermitted, "the server was removed");
      co_return Register(peer, call);
    case wire::MASTER_HEARTBEAT: {
      if (auto request = rpc::Parse<wire::HeartbeatRequest>(call.body)) {
        usage[request->server()] = request->usage();
      }
      wire::HeartbeatReply reply;
      reply.set_lease_ms(lease_ms);
      reply.set_epoch(map.epoch());
      co_return rpc::ReplyWith(reply);
    }
    case wire::MASTER_CHECK_SESSION: {
      const auto request = rpc::Parse<wire::CheckSessionRequest>(call.body);
      wire::CheckSessionReply reply;
      reply.set_live(request && live_sessions.contains(request->session()));
      co_return rpc::ReplyWith(reply);
    }
    case wire::MASTER_FENCE_DONE: {
      const auto request = rpc::Parse<wire::FenceDoneRequest>(call.body);
      if (!request) co_return Fail(request.error());
      for (const uint64_t session : request->sessions())
        fenced.insert({request->server(), session});
      co_return rpc::ReplyWith(wire::FenceDoneReply());
    }
    case wire::MASTER_GARBAGE_DONE: {
      const auto request = rpc::Parse<wire::GarbageDoneRequest>(call.body);
      if (!request) co_return Fail(request.error());
      for (const uint64_t entry : request->entries()) removed.insert({request->server(), entry});
      co_return rpc::ReplyWith(wire::GarbageDoneReply());
    }
    case wire::MASTER_BUCKET_SYNCED:
      co_return Synced(call);
    default:
      co_return Fail(Errc::kNotSupported);
  }
}

void ClusterMaster::Gone(const std::shared_ptr<rpc::Peer>& peer) {
  std::erase_if(peers_, [&](const auto& entry) { return entry.second == peer; });
}

Result<rpc::Reply> ClusterMaster::Register(const std::shared_ptr<rpc::Peer>& peer,
                                           const rpc::Call& call) {
  const auto request = rpc::Parse<wire::RegisterServerRequest>(call.body);
  if (!request) return Fail(request.error());
  wire::Server* server = nullptr;
  for (wire::Server& known : *map.mutable_servers()) {
    if (known.uuid() == request->uuid()) server = &known;
  }
  if (server == nullptr) {
    server = map.add_servers();
    server->set_id(static_cast<uint32_t>(map.servers_size()));
    server->set_uuid(request->uuid());
  }
  server->set_address(request->address());
  server->set_state(wire::SERVER_UP);
  peers_[server->id()] = peer;
  wire::RegisterServerReply reply;
  reply.set_cluster_id(map.cluster_id());
  reply.set_server(server->id());
  reply.set_lease_ms(lease_ms);
  Changed();
  *reply.mutable_map() = map;
  return rpc::ReplyWith(reply);
}

Result<rpc::Reply> ClusterMaster::Synced(const rpc::Call& call) {
  const auto request = rpc::Parse<wire::BucketSyncedRequest>(call.body);
  if (!request) return Fail(request.error());
  if (request->buckets(0).version() == bucket().version()) {
    for (int i = 0; i < bucket().servers_size(); ++i) {
      if (bucket().servers(i) == request->server()) bucket().set_states(i, wire::MEMBER_SERVING);
    }
    bucket().set_version(bucket().version() + 1);
    Changed();
  }
  return rpc::ReplyWith(wire::BucketSyncedReply());
}

void ClusterMaster::SetMembers(const std::vector<std::pair<uint32_t, wire::MemberState>>& members) {
  bucket().clear_servers();
  bucket().clear_states();
  for (const auto& [server, state] : members) {
    bucket().add_servers(server);
    bucket().add_states(state);
  }
  bucket().set_version(bucket().version() + 1);
  Changed();
}

void ClusterMaster::Changed() {
  map.set_epoch(map.epoch() + 1);
  wire::MapPush push;
  push.set_epoch(map.epoch());
  Push(wire::MASTER_PUSH_MAP, push);
}

void ClusterMaster::Push(uint32_t method, const google::protobuf::MessageLite& message) {
  for (const auto& [server, peer] : peers_) peer->Push(method, message);
}

}  // namespace ringfs::chunkserver
