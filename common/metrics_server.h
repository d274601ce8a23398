#pragma once

#include <memory>
#include <string>

#include "common/metrics.h"
#include "common/result.h"

namespace ringfs {

// Answers GET /metrics over HTTP with the figures of a program, as Prometheus asks for them.
//
// Owns:    a thread or two. `metrics` must outlive it.
class MetricsServer {
 public:
  // "HOST:PORT", with a port that is not 0. kInvalid: not such an address. kBusy: it cannot be
  // listened on.
  static Result<std::unique_ptr<MetricsServer>> Start(const std::string& address,
                                                      const Metrics& metrics);
  ~MetricsServer();
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

 private:
  class Source;
  class Http;
  MetricsServer();

  std::shared_ptr<Source> source_;
  std::unique_ptr<Http> http_;
};

}  // namespace ringfs
