// What a call costs on loopback: round trips a second with several calls in flight, and the flow of
// 1 MiB payloads in both directions. Server and client have a thread each, as in their programs.
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/async.h"
#include "common/rpc/channel.h"
#include "common/rpc/server.h"

namespace ringfs::rpc {
namespace {

constexpr auto kDuration = std::chrono::seconds(2);
constexpr int64_t kTimeoutMs = 10'000;
constexpr size_t kPayloadBytes = 1u << 20;

enum Method : uint32_t { kEcho = 1, kSink = 2, kSource = 3 };

class BenchService final : public Service {
 public:
  asio::awaitable<Result<Reply>> Handle(std::shared_ptr<Peer>, Call call) override {
    Reply reply;
    reply.body = std::move(call.body);
    if (call.method == kSource) reply.payload.push_back(source_);
    co_return reply;
  }

 private:
  Buffer source_ = Buffer::Allocate(kPayloadBytes);
};

struct Load {
  const char* name;
  uint32_t method;
  size_t body_bytes;
  bool payload;  // the call carries kPayloadBytes
  int in_flight;
};

struct Progress {
  std::chrono::steady_clock::time_point end;
  int64_t calls = 0;
  int running = 0;
};

asio::awaitable<void> CallAgainAndAgain(std::shared_ptr<Channel> channel, Load load, Buffer payload,
                                        Progress* progress) {
  while (std::chrono::steady_clock::now() < progress->end) {
    std::vector<Buffer> parts;
    if (load.payload) parts.push_back(payload);
    const Result<Answer> answer = co_await channel->Call(
        load.method, std::string(load.body_bytes, 'x'), std::move(parts), kTimeoutMs);
    if (!answer) {
      std::fprintf(stderr, "%s\n", answer.error().ToString().c_str());
      break;
    }
    ++progress->calls;
  }
  --progress->running;
}

void Measure(const std::string& address, const Load& load) {
  asio::io_context io(1);
  const std::shared_ptr<Channel> channel = Channel::Make(io.get_executor(), {address});
  Progress progress;
  const auto start = std::chrono::steady_clock::now();
  progress.end = start + kDuration;
  const Buffer payload = Buffer::Allocate(kPayloadBytes);
  for (int i = 0; i < load.in_flight; ++i) {
    ++progress.running;
    Spawn(io.get_executor(), CallAgainAndAgain(channel, load, payload, &progress), "bench");
  }
  while (progress.running > 0) io.run_one();
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const double rate = static_cast<double>(progress.calls) / seconds;
  std::printf("%-28s %3d in flight %10.0f calls/s %8.1f us", load.name, load.in_flight, rate,
              load.in_flight * 1e6 / rate);
  if (load.payload || load.method == kSource) {
    std::printf(" %6.2f GB/s", rate * static_cast<double>(kPayloadBytes) / 1e9);
  }
  std::printf("\n");
}

int Main() {
  asio::io_context server_io(1);
  BenchService service;
  Server server(server_io.get_executor(), service);
  const Result<std::string> address = server.Listen("127.0.0.1:0");
  if (!address) {
    std::fprintf(stderr, "%s\n", address.error().ToString().c_str());
    return 1;
  }
  std::thread thread([&] { server_io.run(); });
  for (const int in_flight : {1, 8, 64}) {
    Measure(*address, {"echo of 100 bytes", kEcho, 100, false, in_flight});
  }
  for (const int in_flight : {1, 4, 16}) {
    Measure(*address, {"1 MiB to the server", kSink, 100, true, in_flight});
    Measure(*address, {"1 MiB from the server", kSource, 100, false, in_flight});
  }
  asio::post(server_io, [&] {
    server.Stop();
    server_io.stop();
  });
  thread.join();
  return 0;
}

}  // namespace
}  // namespace ringfs::rpc

int main() { return ringfs::rpc::Main(); }
