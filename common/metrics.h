#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>

#include "proto/stats.pb.h"

namespace ringfs {

// Counts what happens. Any thread; costs an addition without a lock.
class Counter {
 public:
  void Add(uint64_t number = 1) { value_.fetch_add(number, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// Something that is now so much. Any thread.
class Gauge {
 public:
  void Set(uint64_t value) { value_.store(value, std::memory_order_relaxed); }
  void Add(int64_t change) {
    value_.fetch_add(static_cast<uint64_t>(change), std::memory_order_relaxed);
  }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// How long something takes: at most 16 us, 32 us, ... 16.8 s, or longer. Any thread.
class Histogram {
 public:
  static constexpr size_t kBounds = 21;
  static double BoundSeconds(size_t bound) { return static_cast<double>(16ull << bound) * 1e-6; }

  void Observe(int64_t ns);
  void Read(wire::Metric& metric) const;

 private:
  std::array<std::atomic<uint64_t>, kBounds + 1> counts_{};
  std::atomic<uint64_t> sum_ns_{0};
};

// The figures of a program. Each is declared once, by whoever counts it, and is seen by `ringfs
// stats` and at --metrics HOST:PORT alike.
//
// Owns:    what it gives out; those live as long as this does.
// Threads: any.
class Metrics {
 public:
  // `name`, `help` and `label` are literals in the style of Prometheus; those of one name differ in
  // `value` of the label.
  Counter& AddCounter(const char* name, const char* help, const char* label = "",
                      std::string value = {});
  Gauge& AddGauge(const char* name, const char* help, const char* label = "",
                  std::string value = {});
  Histogram& AddHistogram(const char* name, const char* help, const char* label = "",
                          std::string value = {});

  // What everything is now, with the memory and processor time of this process.
  wire::StatsReply Read() const;

 private:
  template <typename T>
  struct Named {
    const char* name;
    const char* help;
    const char* label;
    std::string value;
    T metric;
  };
  template <typename T>
  T& Add(std::deque<Named<T>>& all, const char* name, const char* help, const char* label,
         std::string value);

  mutable std::mutex mutex_;  // of the lists, not of what they hold
  std::deque<Named<Counter>> counters_;
  std::deque<Named<Gauge>> gauges_;
  std::deque<Named<Histogram>> histograms_;
};

// The resident memory of this process.
uint64_t ResidentBytes();

}  // namespace ringfs
