#pragma once

#include <map>
#include <string>
#include <vector>

#include "common/ids.h"
#include "common/result.h"
#include "master/state/overlay.h"
#include "proto/record.pb.h"

namespace ringfs::master {

// Servers, pools and bucket tables: in memory as a whole, each record in the overlay as well.
// Every call that changes what the cluster map says raises its epoch by one.
//
// Threads: the caller's.
class ClusterTable {
 public:
  // Borrows both.
  ClusterTable(Overlay& overlay, wire::CountersRecord& counters)
      : overlay_(overlay), counters_(counters) {}

  Result<void> Load();

  // kExists: it was done before. kInvalid: out of bounds.
  Result<void> Format(const wire::FormatCluster& ask);

  struct Registered {
    ServerId server{0};
    bool restarted = false;  // it was known, and this is another run of it
  };
  // The pool of so many replicas, which is made if there is none; nobody has its buckets then.
  // kInvalid: out of bounds, or there is no cluster yet.
  Result<PoolId> PoolOf(uint32_t replicas);
  // kWrongCluster, kNotPermitted (it was removed), kInvalid.
  Result<Registered> Register(const wire::RegisterServerRequest& ask);
  // kInvalid; kStaleEpoch: a version that was given is not current. Then nothing is done.
  Result<void> ChangeMembers(const wire::ChangeMembers& ask);
  // kNotFound; kInvalid; kNotPermitted: the server was removed.
  Result<void> ChangeServer(const wire::ChangeServer& ask);

  const std::string& cluster_id() const { return format_.cluster_id(); }
  const std::map<ServerId, wire::ServerRecord>& servers() const { return servers_; }
  const std::vector<wire::Pool>& pools() const { return pools_; }
  const std::vector<wire::BucketRecord>& Buckets(PoolId pool) const;
  wire::ClusterMap Map(uint64_t since) const;

 private:
  void AddPool(uint32_t replicas, uint32_t bucket_bits, const std::string& name);
  Result<void> CheckMembers(const wire::Bucket& bucket) const;
  void Put(const wire::ServerRecord& record);
  void RaiseEpoch() { counters_.set_epoch(counters_.epoch() + 1); }

  Overlay& overlay_;
  wire::CountersRecord& counters_;
  wire::FormatRecord format_;
  std::map<ServerId, wire::ServerRecord> servers_;
  std::vector<wire::Pool> pools_;
  std::map<PoolId, std::vector<wire::BucketRecord>> tables_;
};

}  // namespace ringfs::master
