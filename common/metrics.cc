#include "common/metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <fstream>
#include <string_view>

namespace ringfs {
namespace {

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
}

void AddProcess(wire::StatsReply& reply) {
  wire::Metric& memory = *reply.add_metrics();
  memory.set_name("process_resident_memory_bytes");
  memory.set_help("Resident memory.");
  memory.set_kind(wire::METRIC_GAUGE);
  memory.set_value(static_cast<double>(ResidentBytes()));
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) != 0) return;
  wire::Metric& processor = *reply.add_metrics();
  processor.set_name("process_cpu_seconds_total");
  processor.set_help("Time of processors, in the kernel too.");
  processor.set_value(Seconds(usage.ru_utime) + Seconds(usage.ru_stime));
}

template <typename T>
wire::Metric& AddNamed(wire::StatsReply& reply, const T& named, wire::MetricKind kind) {
  wire::Metric& metric = *reply.add_metrics();
  metric.set_name(named.name);
  metric.set_help(named.help);
  metric.set_kind(kind);
  metric.set_label(named.label);
  metric.set_label_value(named.value);
  return metric;
}

}  // namespace

void Histogram::Observe(int64_t ns) {
  const uint64_t units = static_cast<uint64_t>(std::max<int64_t>(ns, 1) - 1) / 16'000;
  const size_t bound = std::min<size_t>(static_cast<size_t>(std::bit_width(units)), kBounds);
  counts_[bound].fetch_add(1, std::memory_order_relaxed);
  sum_ns_.fetch_add(static_cast<uint64_t>(std::max<int64_t>(ns, 0)), std::memory_order_relaxed);
}

void Histogram::Read(wire::Metric& metric) const {
  uint64_t count = 0;
  for (size_t i = 0; i < kBounds; ++i) {
    count += counts_[i].load(std::memory_order_relaxed);
    metric.add_bounds(BoundSeconds(i));
    metric.add_counts(count);
  }
  metric.set_count(count + counts_[kBounds].load(std::memory_order_relaxed));
  metric.set_sum(static_cast<double>(sum_ns_.load(std::memory_order_relaxed)) * 1e-9);
}

template <typename T>
T& Metrics::Add(std::deque<Named<T>>& all, const char* name, const char* help, const char* label,
                std::string value) {
  const std::lock_guard lock(mutex_);
  Named<T>& added = all.emplace_back();
  added.name = name;
  added.help = help;
  added.label = label;
  added.value = std::move(value);
  return added.metric;
}

Counter& Metrics::AddCounter(const char* name, const char* help, const char* label,
                             std::string value) {
  return Add(counters_, name, help, label, std::move(value));
}

Gauge& Metrics::AddGauge(const char* name, const char* help, const char* label,
                         std::string value) {
  return Add(gauges_, name, help, label, std::move(value));
}

Histogram& Metrics::AddHistogram(const char* name, const char* help, const char* label,
                                 std::string value) {
  return Add(histograms_, name, help, label, std::move(value));
}

wire::StatsReply Metrics::Read() const {
  wire::StatsReply reply;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& each : counters_) {
      AddNamed(reply, each, wire::METRIC_COUNTER)
          .set_value(static_cast<double>(each.metric.value()));
    }
    for (const auto& each : gauges_) {
      AddNamed(reply, each, wire::METRIC_GAUGE)
          .set_value(static_cast<double>(each.metric.value()));
    }
    for (const auto& each : histograms_) {
      each.metric.Read(AddNamed(reply, each, wire::METRIC_HISTOGRAM));
    }
  }
  std::stable_sort(
      reply.mutable_metrics()->begin(), reply.mutable_metrics()->end(),
      [](const wire::Metric& a, const wire::Metric& b) { return a.name() < b.name(); });
  AddProcess(reply);
  return reply;
}

uint64_t ResidentBytes() {
  uint64_t total_pages = 0;
  uint64_t resident_pages = 0;
  std::ifstream("/proc/self/statm") >> total_pages >> resident_pages;
  return resident_pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace ringfs
