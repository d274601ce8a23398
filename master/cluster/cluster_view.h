#pragma once

#include <vector>

#include "common/ids.h"
#include "proto/record.pb.h"

namespace ringfs::master {

// The part of the master's state that decisions about buckets are made from.
class ClusterView {
 public:
  virtual ~ClusterView() = default;
  virtual const wire::ServerRecord* FindServer(ServerId server) const = 0;
  virtual std::vector<const wire::ServerRecord*> Servers() const = 0;
  virtual const std::vector<wire::Pool>& Pools() const = 0;
  // Indexed by bucket.
  virtual const std::vector<wire::BucketRecord>& Buckets(PoolId pool) const = 0;
};

}  // namespace ringfs::master
