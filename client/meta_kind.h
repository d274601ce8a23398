#pragma once

#include <string_view>

#include "proto/namespace.pb.h"

namespace ringfs::client {

// How a request to the namespace may be sent and sent again.
enum class MetaKind {
  kQuery,   // changes nothing: any number of times, in any session
  kMemory,  // changes what OpenSession says again after a reconnect: once a connection
  kChange,  // needs a slot
  kEnding,  // as kChange; others may be waiting for it, and the master never holds it
};

MetaKind KindOf(const wire::MetaRequest& request);

// "rename", for the log.
std::string_view OperationName(const wire::MetaRequest& request);

}  // namespace ringfs::client
