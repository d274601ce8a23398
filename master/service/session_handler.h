#pragma once

#include <asio/awaitable.hpp>
#include <memory>

#include "master/service/context.h"
#include "proto/session.pb.h"

namespace ringfs::master {

// Calls by which a mount opens, keeps and closes its session, and gets the cluster map.
// `peer` is the connection that the call came on.

// A new session, or the return of one on a new connection. kFenced: it has expired.
// kNotPermitted: it belongs to another client. kWrongCluster. kNotFound: no such subdirectory.
asio::awaitable<Result<wire::OpenSessionReply>> OpenSession(Context& context,
                                                            std::shared_ptr<rpc::Peer> peer,
                                                            wire::OpenSessionRequest request);
Result<wire::KeepAliveReply> KeepAlive(Context& context, const rpc::Peer& peer,
                                       const wire::KeepAliveRequest& request);
asio::awaitable<Result<wire::CloseSessionReply>> CloseSession(Context& context,
                                                              std::shared_ptr<rpc::Peer> peer,
                                                              wire::CloseSessionRequest request);
asio::awaitable<Result<wire::ClusterMap>> GetMap(Context& context, std::shared_ptr<rpc::Peer> peer,
                                                 wire::GetMapRequest request);

}  // namespace ringfs::master
