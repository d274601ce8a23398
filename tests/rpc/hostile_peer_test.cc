#include <google/protobuf/wrappers.pb.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/rpc/support.h"

namespace ringfs::rpc {
namespace {

ServerOptions Impatient() {
  ServerOptions options;
  options.keepalive_ms = 20;
  options.dead_after_ms = 100;
  return options;
}

ChannelOptions ImpatientClient() {
  ChannelOptions options;
  options.keepalive_ms = 20;
  options.dead_after_ms = 100;
  return options;
}

// Sends `bytes` to the server, and returns what it answers before it ends the connection.
Result<Frame> AnswerTo(Cluster& cluster, const std::string& bytes) {
  RawPeer peer(cluster.io);
  peer.Connect(cluster.address);
  Result<Frame> answer = Fail(Errc::kCancelled);
  cluster.Run([](RawPeer& p, std::string sent, Result<Frame>& out) -> asio::awaitable<void> {
    co_await p.Send(std::move(sent));
    out = co_await p.Receive();
    co_await p.WaitForEnd();
  }(peer, bytes, answer));
  peer.socket().close();
  cluster.RunUntil([&] { return cluster.service.gone == 1; });
  return answer;
}

TEST(HostilePeer, IsToldWhatItDidAndCutOff) {
  struct Case {
    const char* name;
    size_t at;
    std::string bytes;
    Errc error;
  };
  const Case cases[] = {
      {"no frame", 0, "GET ", Errc::kProtocol},
      {"unknown version", 4, std::string("\7\0", 2), Errc::kVersion},
      {"unknown kind", 6, "\x2a", Errc::kProtocol},
      {"an answer", 6, "\2", Errc::kCorrupted},
      {"oversized body", 12, "\xff\xff\xff\xff", Errc::kProtocol},
      {"oversized payload", 16, "\xff\xff\xff\xff", Errc::kProtocol},
      {"corrupt header", 8, "\xff", Errc::kCorrupted},
      {"corrupt body", kHeaderBytes, "J", Errc::kCorrupted},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    Cluster cluster;
    std::string bytes = BytesOf(CallFrame(kEcho, 1, "hello"));
    bytes.replace(c.at, c.bytes.size(), c.bytes);

    const Result<Frame> answer = AnswerTo(cluster, bytes);

    ASSERT_TRUE(answer) << answer.error().ToString();
    EXPECT_EQ(answer->header.kind, FrameKind::kAnswer);
    EXPECT_EQ(answer->header.correlation, 0u);
    EXPECT_EQ(ErrcFromWire(static_cast<int>(answer->header.error)), c.error);
    EXPECT_FALSE(answer->body.empty());
    EXPECT_TRUE(cluster.service.arrived.empty());
  }
}

TEST(HostilePeer, WithACorruptLargeBodyIsCutOff) {
  Cluster cluster;
  std::string bytes = BytesOf(CallFrame(kEcho, 1, std::string(100'000, 'x')));
  bytes.back() = 'y';

  const Result<Frame> answer = AnswerTo(cluster, bytes);

  ASSERT_TRUE(answer);
  EXPECT_EQ(ErrcFromWire(static_cast<int>(answer->header.error)), Errc::kCorrupted);
}

TEST(HostilePeer, GetsItsLastAnswerAlsoWhenItSendsOn) {
  Cluster cluster;

  const Result<Frame> answer = AnswerTo(cluster, std::string(300'000, 'x'));

  ASSERT_TRUE(answer) << answer.error().ToString();
  EXPECT_EQ(ErrcFromWire(static_cast<int>(answer->header.error)), Errc::kProtocol);
}

TEST(HostilePeer, ThatAnswersAServerIsCutOff) {
  Cluster cluster;

  const Result<Frame> answer = AnswerTo(cluster, BytesOf(MakeErrorFrame(1, {Errc::kIo, ""})));

  ASSERT_TRUE(answer);
  EXPECT_EQ(ErrcFromWire(static_cast<int>(answer->header.error)), Errc::kProtocol);
}

TEST(HostilePeer, ThatDiesInTheMiddleOfAFrameIsForgotten) {
  for (const size_t size : {size_t{10}, kHeaderBytes, kHeaderBytes + 50'000}) {
    SCOPED_TRACE(size);
    Cluster cluster;
    RawPeer peer(cluster.io);
    peer.Connect(cluster.address);

    cluster.Run(peer.Send(BytesOf(CallFrame(kEcho, 1, std::string(100'000, 'x'))).substr(0, size)));
    peer.socket().close();
    cluster.RunUntil([&] { return cluster.service.gone == 1; });

    EXPECT_TRUE(cluster.service.arrived.empty());
  }
}

TEST(HostilePeer, ThatStopsInTheMiddleOfAFrameIsDropped) {
  for (const size_t size : {size_t{10}, kHeaderBytes, kHeaderBytes + 50'000}) {
    SCOPED_TRACE(size);
    Cluster cluster(Impatient());
    RawPeer peer(cluster.io);
    peer.Connect(cluster.address);

    cluster.Run(peer.Send(BytesOf(CallFrame(kEcho, 1, std::string(100'000, 'x'))).substr(0, size)));
    cluster.RunUntil([&] { return cluster.service.gone == 1; });
  }
}

TEST(HostilePeer, ThatDripsAFrameIsDropped) {
  Cluster cluster(Impatient());
  RawPeer peer(cluster.io);
  peer.Connect(cluster.address);

  cluster.Run([](Cluster& c, RawPeer& p) -> asio::awaitable<void> {
    const std::string bytes = BytesOf(CallFrame(kEcho, 1, std::string(100'000, 'x')));
    for (size_t at = 0; c.service.gone == 0; ++at) {
      co_await p.Send(bytes.substr(at, 1));
      co_await SleepMs(5);
    }
  }(cluster, peer));

  EXPECT_TRUE(cluster.service.arrived.empty());
}

TEST(HostilePeer, ThatSaysNothingIsAskedAndThenDropped) {
  Cluster cluster(Impatient());
  RawPeer peer(cluster.io);
  peer.Connect(cluster.address);
  Result<Frame> asked = Fail(Errc::kCancelled);

  cluster.Run([](RawPeer& p, Result<Frame>& out) -> asio::awaitable<void> {
    out = co_await p.Receive();
    co_await p.WaitForEnd();
  }(peer, asked));

  ASSERT_TRUE(asked);
  EXPECT_EQ(asked->header.kind, FrameKind::kPing);
}

TEST(HostilePeer, ThatDoesNotReadItsPushesIsCutOff) {
  Cluster cluster;
  RawPeer peer(cluster.io);
  peer.Connect(cluster.address);
  cluster.Run(peer.Send(CallFrame(kHold, 1, "x")));
  cluster.RunUntil([&] { return cluster.service.holding == 1; });
  const std::shared_ptr<Peer> end = cluster.service.last_peer;
  google::protobuf::StringValue large;
  large.set_value(std::string(8u << 20, 'x'));

  int pushes = 0;
  while (!end->closed() && pushes < 100) {
    end->Push(kPushy, large);
    ++pushes;
  }

  EXPECT_TRUE(end->closed());
  EXPECT_GE(pushes, 8);
  cluster.RunUntil([&] { return cluster.service.gone == 1; });
  cluster.service.Release();
  cluster.Run(Yield());
}

TEST(HostilePeer, ThatDoesNotReadItsAnswersIsNotReadFrom) {
  Cluster cluster;
  RawPeer peer(cluster.io);
  peer.Connect(cluster.address);
  const OutFrame call = CallFrame(kEcho, 1, std::string(1u << 20, 'x'));
  Spawn(
      cluster.io.get_executor(),
      [](RawPeer& p, OutFrame frame) -> asio::awaitable<void> {
        for (int i = 0; i < 64; ++i) co_await p.Send(frame);
      }(peer, call),
      "flood");

  cluster.Run(SleepMs(200));
  // 8 MiB are queued, the rest is what two socket buffers hold.
  EXPECT_LT(cluster.service.arrived.size(), 40u);
  cluster.Run([](RawPeer& p) -> asio::awaitable<void> {
    for (int i = 0; i < 64; ++i) {
      Result<Frame> answer = co_await p.Receive();
      EXPECT_TRUE(answer);
    }
  }(peer));

  EXPECT_EQ(cluster.service.arrived.size(), 64u);
}

TEST(IdleConnection, StaysUpAsLongAsBothEndsLive) {
  Cluster cluster(Impatient(), ImpatientClient());
  int lost = 0;
  cluster.channel->OnDisconnect([&] { ++lost; });
  cluster.channel->KeepConnected();
  cluster.RunUntil([&] { return cluster.channel->connected(); });

  cluster.Run(SleepMs(300));

  EXPECT_EQ(lost, 0);
  EXPECT_TRUE(cluster.channel->connected());
}

TEST(PausedConnection, IsHeldAliveByItsServer) {
  ServerOptions options = Impatient();
  options.max_calls_per_peer = 1;
  Cluster cluster(options, ImpatientClient());
  Result<Answer> answer = Fail(Errc::kCancelled);
  bool answered = false;
  Spawn(
      cluster.io.get_executor(),
      [](Cluster& c, Result<Answer>& out, bool& done) -> asio::awaitable<void> {
        out = co_await Ask(c.channel, kHold, "x");
        done = true;
      }(cluster, answer, answered),
      "ask");
  cluster.RunUntil([&] { return cluster.service.holding == 1; });

  cluster.Run(SleepMs(300));
  cluster.service.Release();
  cluster.RunUntil([&] { return answered; });

  EXPECT_TRUE(answer) << answer.error().ToString();
}

// A listener that does whatever the test wants to those who connect.
class RawServer {
 public:
  explicit RawServer(asio::io_context& io)
      : acceptor_(io, {asio::ip::address_v4::loopback(), 0}), accepted(io) {}
  std::string address() const {
    return "127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port());
  }
  asio::awaitable<void> Accept() {
    accepted.socket() = co_await acceptor_.async_accept(asio::use_awaitable);
  }

 private:
  asio::ip::tcp::acceptor acceptor_;

 public:
  RawPeer accepted;
};

// What a call ends with when the server answers it with `bytes` and, if `dies`, closes.
Error ErrorAfter(const std::string& bytes, bool dies) {
  Cluster cluster;
  RawServer server(cluster.io);
  cluster.channel = Channel::Make(cluster.io.get_executor(), {server.address()}, ImpatientClient());
  Result<Answer> answer = Fail(Errc::kCancelled);
  Spawn(
      cluster.io.get_executor(),
      [](RawServer& s, std::string sent, bool close) -> asio::awaitable<void> {
        co_await s.Accept();
        Result<Frame> call = co_await s.accepted.Receive();
        EXPECT_TRUE(call);
        co_await s.accepted.Send(std::move(sent));
        if (close) s.accepted.socket().close();
      }(server, bytes, dies),
      "raw server");
  cluster.Run([](Cluster& c, Result<Answer>& out) -> asio::awaitable<void> {
    out = co_await Ask(c.channel, kEcho, "x");
  }(cluster, answer));
  EXPECT_FALSE(answer);
  return answer ? Error{} : answer.error();
}

TEST(HostileServer, ThatDiesInTheMiddleOfAnAnswerFailsTheCallAtOnce) {
  const std::string bytes = BytesOf(MakeErrorFrame(1, {Errc::kIo, std::string(4000, 'x')}));
  for (const size_t size : {size_t{0}, size_t{10}, kHeaderBytes + 100}) {
    SCOPED_TRACE(size);
    EXPECT_EQ(ErrorAfter(bytes.substr(0, size), true).code, Errc::kUnavailable);
  }
}

TEST(HostileServer, ThatStopsInTheMiddleOfAnAnswerFailsTheCall) {
  const std::string bytes = BytesOf(MakeErrorFrame(1, {Errc::kIo, std::string(4000, 'x')}));
  for (const size_t size : {size_t{0}, size_t{10}, kHeaderBytes + 100}) {
    SCOPED_TRACE(size);
    EXPECT_EQ(ErrorAfter(bytes.substr(0, size), false).code, Errc::kUnavailable);
  }
}

TEST(HostileServer, ThatSendsNonsenseFailsTheCall) {
  EXPECT_EQ(ErrorAfter(std::string(200, 'x'), false).code, Errc::kUnavailable);
  EXPECT_EQ(ErrorAfter(BytesOf(CallFrame(1, 1, "")), false).code, Errc::kUnavailable);
}

TEST(HostileServer, ThatRefusesTheVersionIsQuoted) {
  const Error error =
      ErrorAfter(BytesOf(MakeErrorFrame(0, {Errc::kVersion, "only version 2 here"})), true);

  EXPECT_EQ(error.code, Errc::kVersion);
  EXPECT_NE(error.detail.find("only version 2 here"), std::string::npos);
}

TEST(HostileServer, OfAnErrorThatIsNotKnownIsAProtocolError) {
  FrameHeader header;
  header.kind = FrameKind::kAnswer;
  header.correlation = 1;
  header.error = 4'000'000'000;
  Result<OutFrame> frame = MakeFrame(header, "from the future", {});

  EXPECT_EQ(ErrorAfter(BytesOf(*frame), false).ToString(), "Protocol: from the future");
}

}  // namespace
}  // namespace ringfs::rpc
