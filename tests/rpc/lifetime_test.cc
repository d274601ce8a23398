#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <utility>

#include "tests/rpc/support.h"

namespace ringfs::rpc {
namespace {

asio::awaitable<void> AskAndSay(std::shared_ptr<Channel> channel, uint32_t method, bool* ended) {
  const Result<Answer> answer = co_await Ask(channel, method, "x");
  EXPECT_EQ(answer.code(), Errc::kCancelled);
  *ended = true;
}

// As AskAndSay(), without holding the channel meanwhile.
asio::awaitable<void> AskBorrowed(Channel* channel, bool* ended) {
  auto call = channel->Call(kHold, "x", {}, kPlenty);
  const Result<Answer> answer = co_await std::move(call);
  EXPECT_EQ(answer.code(), Errc::kCancelled);
  *ended = true;
}

TEST(Lifetime, ChannelThatIsLetGoEndsItsCallsAndItsConnection) {
  Cluster cluster;
  bool ended = false;
  Spawn(cluster.io.get_executor(), AskBorrowed(cluster.channel.get(), &ended), "ask");
  cluster.RunUntil([&] { return cluster.service.holding == 1; });

  cluster.channel.reset();
  cluster.RunUntil([&] { return ended && cluster.service.gone == 1; });
  cluster.service.Release();
  cluster.Run(Yield());
}

TEST(Lifetime, ChannelMayBeClosedInItsPushHandlerAndByACaller) {
  Cluster cluster;
  cluster.channel->OnPush([&](uint32_t, std::string) { cluster.channel->Close(); });
  bool ended = false;

  Spawn(cluster.io.get_executor(), AskAndSay(cluster.channel, kPushy, &ended), "ask");
  cluster.RunUntil([&] { return ended && cluster.service.gone == 1; });
}

TEST(Lifetime, ChannelMayBeClosedWhileItConnects) {
  Cluster cluster;
  cluster.StopServer();
  bool ended = false;
  Spawn(cluster.io.get_executor(), AskAndSay(cluster.channel, kEcho, &ended), "ask");

  cluster.channel->Close();
  cluster.RunUntil([&] { return ended; });
}

TEST(Lifetime, CloseLeavesNothingToRun) {
  Cluster cluster;
  bool ended = false;
  Spawn(cluster.io.get_executor(), AskAndSay(cluster.channel, kHold, &ended), "ask");
  cluster.RunUntil([&] { return cluster.service.holding == 1; });

  cluster.channel->Close();
  cluster.server->Stop();
  cluster.service.Release();
  cluster.io.restart();
  cluster.io.run_for(std::chrono::seconds(10));

  EXPECT_TRUE(ended);
  EXPECT_TRUE(cluster.io.stopped());
}

TEST(Lifetime, ServerMayStopInsideACall) {
  class Suicidal final : public Service {
   public:
    asio::awaitable<Result<Reply>> Handle(std::shared_ptr<Peer>, Call) override {
      server->Stop();
      co_await Yield();
      co_return Reply{};
    }
    void Gone(const std::shared_ptr<Peer>&) override { ++gone; }
    Server* server = nullptr;
    int gone = 0;
  };
  Cluster cluster;
  Suicidal service;
  Server server(cluster.io.get_executor(), service);
  service.server = &server;
  const Result<std::string> address = server.Listen("127.0.0.1:0");
  ASSERT_TRUE(address);
  cluster.channel = Channel::Make(cluster.io.get_executor(), {*address});
  Errc code = Errc::kOk;

  cluster.Run([](Cluster& c, Errc& out) -> asio::awaitable<void> {
    const Result<Answer> answer = co_await Ask(c.channel, kEcho, "x");
    out = answer.code();
  }(cluster, code));

  EXPECT_EQ(code, Errc::kUnavailable);
  EXPECT_EQ(service.gone, 1);
}

// The io_context goes while everything is suspended; channel, server end and callers go after it or
// with it. Leaks and uses of freed memory show under the address sanitizer.
TEST(Lifetime, IoContextMayGoFirst) {
  for (const bool server_runs : {true, false}) {
    SCOPED_TRACE(server_runs);
    auto io = std::make_unique<asio::io_context>();
    std::optional<TestService> service(io->get_executor());
    std::optional<Server> server(std::in_place, io->get_executor(), *service);
    const Result<std::string> address = server->Listen("127.0.0.1:0");
    ASSERT_TRUE(address);
    if (!server_runs) server.reset();
    std::shared_ptr<Channel> channel = Channel::Make(io->get_executor(), {*address});
    bool ended = false;
    for (int i = 0; i < 3; ++i) {
      Spawn(io->get_executor(), AskAndSay(channel, kHold, &ended), "ask");
    }
    if (server_runs) {
      while (service->holding < 3) io->run_one();
    } else {
      for (int i = 0; i < 10; ++i) io->run_one();
    }
    const std::shared_ptr<Peer> peer = service->last_peer;

    server.reset();
    io.reset();

    EXPECT_FALSE(ended);
    EXPECT_FALSE(channel->connected());
    channel->Close();
    if (peer) {
      EXPECT_TRUE(peer->closed());
      peer->Close();
    }
  }
}

TEST(Lifetime, IoContextMayGoBeforeItEverRan) {
  auto io = std::make_unique<asio::io_context>();
  const std::shared_ptr<Channel> channel = Channel::Make(io->get_executor(), {"127.0.0.1:1"});
  channel->KeepConnected();
  bool ended = false;
  Spawn(io->get_executor(), AskAndSay(channel, kEcho, &ended), "ask");

  io.reset();

  EXPECT_FALSE(ended);
}

}  // namespace
}  // namespace ringfs::rpc
