#pragma once

#include <asio/awaitable.hpp>
#include <memory>

#include "master/service/context.h"
#include "proto/cluster.pb.h"

namespace ringfs::master {

// Calls of chunkservers. `peer` is the connection that the call came on.

// kWrongCluster: its data belongs to another cluster. kInvalid: it does not say who it is.
asio::awaitable<Result<wire::RegisterServerReply>> RegisterServer(
    Context& context, std::shared_ptr<rpc::Peer> peer, wire::RegisterServerRequest request);

// The calls below need a connection on which the server has registered: kNotPermitted. Its lease
// must not have run out: kNotServing; the server registers again.
Result<wire::HeartbeatReply> Heartbeat(Context& context, const rpc::Peer& peer,
                                       const wire::HeartbeatRequest& request);
asio::awaitable<Result<wire::CheckSessionReply>> CheckSession(Context& context,
                                                              std::shared_ptr<rpc::Peer> peer,
                                                              wire::CheckSessionRequest request);
Result<wire::FenceDoneReply> FenceDone(Context& context, const rpc::Peer& peer,
                                       const wire::FenceDoneRequest& request);
Result<wire::GarbageDoneReply> GarbageDone(Context& context, const rpc::Peer& peer,
                                           const wire::GarbageDoneRequest& request);
asio::awaitable<Result<wire::BucketSyncedReply>> BucketSynced(Context& context,
                                                              std::shared_ptr<rpc::Peer> peer,
                                                              wire::BucketSyncedRequest request);

// Takes the lease of each server that has not been heard of in time: it is down.
void TakeExpiredLeases(Context& context);

// Lets the membership logic decide until it has nothing more to say.
void DecideMembership(Context& context);

}  // namespace ringfs::master
