#pragma once

#include "common/metrics.h"

namespace ringfs::master {

struct Context;

// What a master tells of its state in figures.
class MasterFigures {
 public:
  explicit MasterFigures(Metrics& metrics);
  void Update(const Context& context);

 private:
  Gauge& epoch_;
  Gauge& sessions_;
  Gauge& servers_up_;
  Gauge& locks_;
  Gauge& inodes_;
  Gauge& files_bytes_;
  Gauge& garbage_;
  Gauge& leases_;
  Gauge& grants_;
  Gauge& recalls_;
  Gauge& timeouts_;
  Gauge& copies_left_;
};

}  // namespace ringfs::master
