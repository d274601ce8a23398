#include "common/metrics.h"

#include <asio/connect.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/read.hpp>
#include <asio/streambuf.hpp>
#include <asio/write.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <iterator>
#include <thread>

#include "common/call_metrics.h"
#include "common/metrics_server.h"
#include "proto/session.pb.h"

namespace ringfs {
namespace {

using ::testing::HasSubstr;

const wire::Metric* Find(const wire::StatsReply& stats, const std::string& name,
                         const std::string& value = "") {
  for (const wire::Metric& metric : stats.metrics()) {
    if (metric.name() == name && metric.label_value() == value) return &metric;
  }
  return nullptr;
}

TEST(MetricsTest, CountWhatManyThreadsDo) {
  Metrics metrics;
  Counter& counter = metrics.AddCounter("things_total", "Things.");
  Gauge& gauge = metrics.AddGauge("now", "Now.");
  Histogram& histogram = metrics.AddHistogram("time_seconds", "Time.");
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 10'000; ++j) {
        counter.Add();
        gauge.Add(2);
        gauge.Add(-1);
        histogram.Observe(1'000'000);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  const wire::StatsReply stats = metrics.Read();

  EXPECT_EQ(Find(stats, "things_total")->value(), 40'000);
  EXPECT_EQ(Find(stats, "now")->value(), 40'000);
  EXPECT_EQ(Find(stats, "time_seconds")->count(), 40'000u);
  EXPECT_NEAR(Find(stats, "time_seconds")->sum(), 40, 1e-6);
  EXPECT_GT(Find(stats, "process_resident_memory_bytes")->value(), 1'000'000);
}

TEST(MetricsTest, HistogramsCountUpToTheirBounds) {
  for (size_t bound = 0; bound < Histogram::kBounds; ++bound) {
    Histogram histogram;
    const int64_t ns = 16'000ll << bound;
    histogram.Observe(ns);
    histogram.Observe(ns + 1);
    wire::Metric metric;
    histogram.Read(metric);

    ASSERT_EQ(metric.counts_size(), static_cast<int>(Histogram::kBounds));
    const int at = static_cast<int>(bound);
    EXPECT_DOUBLE_EQ(metric.bounds(at), static_cast<double>(ns) * 1e-9);
    EXPECT_EQ(metric.counts(at), 1u) << bound;
    EXPECT_EQ(bound > 0 ? metric.counts(at - 1) : 0, 0u) << bound;
    EXPECT_EQ(metric.count(), 2u);
  }
  Histogram histogram;
  histogram.Observe(-5);
  histogram.Observe(0);
  wire::Metric metric;
  histogram.Read(metric);
  EXPECT_EQ(metric.counts(0), 2u);
  EXPECT_EQ(metric.sum(), 0);
}

TEST(MetricsTest, CallsAreCountedByTheNamesOfTheirMethods) {
  Metrics metrics;
  CallMetrics calls(metrics, CallMetrics::KindsOf(*wire::MasterMethod_descriptor(), "MASTER_"));
  calls.Begun();
  calls.Begun();
  calls.Ended(wire::MASTER_LIST_LOCKS, false, 10, 20, 1000);
  calls.Ended(100'000, true, 1, 2, 1000);
  calls.Begun();

  const wire::StatsReply stats = metrics.Read();

  EXPECT_EQ(Find(stats, "ringfs_calls_total", "list_locks")->value(), 1);
  EXPECT_EQ(Find(stats, "ringfs_call_errors_total", "list_locks")->value(), 0);
  EXPECT_EQ(Find(stats, "ringfs_call_received_bytes_total", "list_locks")->value(), 10);
  EXPECT_EQ(Find(stats, "ringfs_call_sent_bytes_total", "list_locks")->value(), 20);
  EXPECT_EQ(Find(stats, "ringfs_call_errors_total", "unknown")->value(), 1);
  EXPECT_EQ(Find(stats, "ringfs_calls_running")->value(), 1);
  EXPECT_EQ(Find(stats, "ringfs_calls_total", "push_map"), nullptr);
}

// A port that was free a moment ago.
std::string FreeAddress() {
  asio::io_context io;
  asio::ip::tcp::acceptor acceptor(io, {asio::ip::make_address("127.0.0.1"), 0});
  return "127.0.0.1:" + std::to_string(acceptor.local_endpoint().port());
}

std::string Get(const std::string& address) {
  asio::io_context io;
  asio::ip::tcp::socket socket(io);
  const auto port = static_cast<uint16_t>(std::stoi(address.substr(address.find(':') + 1)));
  socket.connect({asio::ip::make_address("127.0.0.1"), port});
  asio::write(socket, asio::buffer(std::string("GET /metrics HTTP/1.0\r\n\r\n")));
  asio::streambuf answer;
  asio::error_code end;
  asio::read(socket, answer, end);
  return {std::istreambuf_iterator<char>(&answer), {}};
}

TEST(MetricsTest, AreToldOverHttp) {
  Metrics metrics;
  metrics.AddCounter("things_total", "Things.", "kind", "good").Add(7);
  metrics.AddCounter("things_total", "Things.", "kind", "bad").Add(1);
  metrics.AddHistogram("time_seconds", "Time.").Observe(20'000);
  const std::string address = FreeAddress();
  const auto server = MetricsServer::Start(address, metrics);
  ASSERT_TRUE(server) << server.error().ToString();

  const std::string answer = Get(address);

  EXPECT_THAT(answer, HasSubstr("200 OK"));
  EXPECT_THAT(answer, HasSubstr("things_total{kind=\"good\"} 7"));
  EXPECT_THAT(answer, HasSubstr("things_total{kind=\"bad\"} 1"));
  EXPECT_THAT(answer, HasSubstr("# TYPE time_seconds histogram"));
  EXPECT_THAT(answer, HasSubstr("time_seconds_count 1"));
}

TEST(MetricsTest, RefuseAnAddressThatCannotBe) {
  Metrics metrics;
  EXPECT_EQ(MetricsServer::Start("nowhere", metrics).code(), Errc::kInvalid);
  const std::string address = FreeAddress();
  const auto first = MetricsServer::Start(address, metrics);
  ASSERT_TRUE(first);
  EXPECT_EQ(MetricsServer::Start(address, metrics).code(), Errc::kBusy);
}

}  // namespace
}  // namespace ringfs
