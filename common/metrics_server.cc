#include "common/metrics_server.h"

#include <prometheus/collectable.h>
#include <prometheus/exposer.h>
#include <prometheus/metric_family.h>

#include <exception>
#include <vector>

#include "common/rpc/address.h"

namespace ringfs {
namespace {

prometheus::MetricType TypeOf(wire::MetricKind kind) {
  if (kind == wire::METRIC_HISTOGRAM) return prometheus::MetricType::Histogram;
  if (kind == wire::METRIC_GAUGE) return prometheus::MetricType::Gauge;
  return prometheus::MetricType::Counter;
}

prometheus::ClientMetric ToPrometheus(const wire::Metric& metric) {
  prometheus::ClientMetric out;
  if (!metric.label().empty()) out.label.push_back({metric.label(), metric.label_value()});
  out.counter.value = metric.value();
  out.gauge.value = metric.value();
  out.histogram.sample_count = metric.count();
  out.histogram.sample_sum = metric.sum();
  for (int i = 0; i < metric.bounds_size(); ++i) {
    prometheus::ClientMetric::Bucket bucket;
    bucket.upper_bound = metric.bounds(i);
    bucket.cumulative_count = metric.counts(i);
    out.histogram.bucket.push_back(bucket);
  }
  return out;
}

}  // namespace

class MetricsServer::Source final : public prometheus::Collectable {
 public:
  explicit Source(const Metrics& metrics) : metrics_(metrics) {}

  std::vector<prometheus::MetricFamily> Collect() const override {
    std::vector<prometheus::MetricFamily> families;
    const wire::StatsReply stats = metrics_.Read();
    for (const wire::Metric& metric : stats.metrics()) {
      if (families.empty() || families.back().name != metric.name()) {
        families.emplace_back();
        families.back().name = metric.name();
        families.back().help = metric.help();
        families.back().type = TypeOf(metric.kind());
      }
      families.back().metric.push_back(ToPrometheus(metric));
    }
    return families;
  }

 private:
  const Metrics& metrics_;
};

class MetricsServer::Http {
 public:
  explicit Http(const std::string& address) : exposer_(address, 1) {}
  void Show(const std::shared_ptr<Source>& source) { exposer_.RegisterCollectable(source); }

 private:
  prometheus::Exposer exposer_;
};

MetricsServer::MetricsServer() = default;
MetricsServer::~MetricsServer() = default;

Result<std::unique_ptr<MetricsServer>> MetricsServer::Start(const std::string& address,
                                                            const Metrics& metrics) {
  const auto parsed = rpc::ParseHostPort(address);
  if (!parsed) return Fail(parsed.error());
  std::unique_ptr<MetricsServer> server(new MetricsServer());
  server->source_ = std::make_shared<Source>(metrics);
  // prometheus-cpp says by an exception that it cannot listen.
  try {
    server->http_ = std::make_unique<Http>(address);
  } catch (const std::exception&) {
    return Fail(Errc::kBusy, "cannot listen on " + address + " for metrics");
  }
  server->http_->Show(server->source_);
  return server;
}

}  // namespace ringfs
