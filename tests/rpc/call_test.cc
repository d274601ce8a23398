#include <google/protobuf/wrappers.pb.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <exception>
#include <string>
#include <utility>
#include <vector>

#include "common/rpc/address.h"
#include "tests/rpc/support.h"

namespace ringfs::rpc {
namespace {

asio::awaitable<void> AskInto(std::shared_ptr<Channel> channel, uint32_t method, std::string body,
                              int64_t timeout_ms, std::vector<Result<Answer>>* answers) {
  Result<Answer> answer = co_await Ask(std::move(channel), method, std::move(body), timeout_ms);
  answers->push_back(std::move(answer));
}

// The bodies of `answers`, or the names of their errors.
std::vector<std::string> Texts(const std::vector<Result<Answer>>& answers) {
  std::vector<std::string> texts;
  for (const Result<Answer>& answer : answers) {
    texts.push_back(answer ? answer->body : std::string(Name(answer.code())));
  }
  return texts;
}

TEST(Call, BringsBackBodyAndPayload) {
  Cluster cluster;
  Result<Answer> answer = Fail(Errc::kCancelled);

  cluster.Run([](Cluster& c, Result<Answer>& out) -> asio::awaitable<void> {
    std::vector<Buffer> payload{BufferOf("pay"), BufferOf(""), BufferOf("load")};
    out = co_await c.channel->Call(kEcho, "hello", std::move(payload), kPlenty);
  }(cluster, answer));

  ASSERT_TRUE(answer) << answer.error().ToString();
  EXPECT_EQ(answer->body, "hello");
  EXPECT_EQ(TextOf(answer->payload), "payload");
}

TEST(Call, CarriesPayloadsAndBodiesOfAllSizesUnchanged) {
  const uint32_t seed = 7;
  Cluster cluster;
  for (const size_t size : {1u, 16u << 10, (16u << 10) - 40, (64u << 10) + 1, 1u << 20, 5u << 20}) {
    SCOPED_TRACE(testing::Message() << size << " bytes, seed " << seed);
    const Buffer noise = Noise(size, seed);
    Result<Answer> answer = Fail(Errc::kCancelled);

    cluster.Run([](Cluster& c, Buffer sent, Result<Answer>& out) -> asio::awaitable<void> {
      std::vector<Buffer> payload{sent};
      out = co_await c.channel->Call(kEcho, std::string(TextOf(sent)), std::move(payload), kPlenty);
    }(cluster, noise, answer));

    ASSERT_TRUE(answer) << answer.error().ToString();
    EXPECT_TRUE(answer->body == TextOf(noise));
    EXPECT_TRUE(TextOf(answer->payload) == TextOf(noise));
  }
}

TEST(Call, ThatIsTooBigIsRefusedBeforeItIsSent) {
  Cluster cluster;
  std::vector<Result<Answer>> answers;

  cluster.Run(
      AskInto(cluster.channel, kEcho, std::string(kMaxBodyBytes + 1, 'x'), kPlenty, &answers));

  EXPECT_EQ(Texts(answers), std::vector<std::string>{"TooBig"});
  EXPECT_TRUE(cluster.service.arrived.empty());
}

TEST(Call, IsAnsweredOutOfOrder) {
  Cluster cluster;
  std::vector<Result<Answer>> answers;
  for (int i = 0; i < 100; ++i) {
    const uint32_t method = i % 2 == 0 ? kHold : kEcho;
    Spawn(cluster.io.get_executor(),
          AskInto(cluster.channel, method, std::to_string(i), kPlenty, &answers), "ask");
  }

  cluster.RunUntil([&] { return answers.size() == 50 && cluster.service.holding == 50; });
  for (const Result<Answer>& answer : answers) EXPECT_EQ(std::stoi(answer->body) % 2, 1);
  cluster.service.Release();
  cluster.RunUntil([&] { return answers.size() == 100; });

  std::vector<std::string> texts = Texts(answers);
  std::sort(texts.begin(), texts.end());
  EXPECT_EQ(std::unique(texts.begin(), texts.end()), texts.end());
  std::vector<std::string> asked;
  for (int i = 0; i < 100; ++i) asked.push_back(std::to_string(i));
  EXPECT_EQ(cluster.service.arrived, asked);
}

TEST(Call, BringsBackTheErrorAsItWasSent) {
  Cluster cluster;
  std::vector<Result<Answer>> answers;

  cluster.Run(AskInto(cluster.channel, kRefuse, "disk 3 is full", kPlenty, &answers));
  cluster.Run(AskInto(cluster.channel, kRefuse, std::string(10'000, 'x'), kPlenty, &answers));

  EXPECT_EQ(answers[0].error().ToString(), "NoSpace: disk 3 is full");
  EXPECT_EQ(answers[1].error().detail.size(), kMaxErrorBytes);
}

TEST(Call, TellsTheServerHowLongItWaits) {
  Cluster cluster;
  std::vector<Result<Answer>> answers;

  cluster.Run(AskInto(cluster.channel, kTimeout, "", 5000, &answers));

  const int told = std::stoi(answers[0]->body);
  EXPECT_LE(told, 5000);
  EXPECT_GT(told, 0);
}

TEST(Call, EndsAtItsDeadlineAndALateAnswerIsIgnored) {
  Cluster cluster;
  std::vector<Result<Answer>> answers;

  cluster.Run(AskInto(cluster.channel, kHold, "late", 20, &answers));
  cluster.service.Release();
  cluster.Run(AskInto(cluster.channel, kEcho, "next", kPlenty, &answers));

  EXPECT_EQ(Texts(answers), (std::vector<std::string>{"TimedOut", "next"}));
}

TEST(Call, OfAShorterDeadlineEndsBeforeAnEarlierOne) {
  Cluster cluster;
  std::vector<Result<Answer>> answers;
  Spawn(cluster.io.get_executor(), AskInto(cluster.channel, kHold, "a", kPlenty, &answers), "ask");
  cluster.RunUntil([&] { return cluster.service.holding == 1; });

  cluster.Run(AskInto(cluster.channel, kHold, "b", 20, &answers));

  EXPECT_EQ(Texts(answers), std::vector<std::string>{"TimedOut"});
}

TEST(Call, WithoutAServerFailsAtItsDeadlineWithTheReason) {
  Cluster cluster;
  cluster.StopServer();
  std::vector<Result<Answer>> answers;

  cluster.Run(AskInto(cluster.channel, kEcho, "x", 50, &answers));

  EXPECT_EQ(answers[0].code(), Errc::kUnavailable);
  EXPECT_EQ(answers[0].error().detail, cluster.address + ": Connection refused");
}

TEST(Call, WaitsForAServerThatComesLater) {
  Cluster cluster;
  cluster.StopServer();
  std::vector<Result<Answer>> answers;
  for (const char* body : {"a", "b", "c"}) {
    Spawn(cluster.io.get_executor(), AskInto(cluster.channel, kEcho, body, kPlenty, &answers),
          "ask");
  }
  cluster.Run(SleepMs(30));  // attempts fail meanwhile

  cluster.StartServer();
  cluster.RunUntil([&] { return answers.size() == 3; });

  EXPECT_EQ(Texts(answers), (std::vector<std::string>{"a", "b", "c"}));
}

TEST(Call, InFlightFailsWhenTheServerStopsAndTheNextOneReconnects) {
  Cluster cluster;
  int lost = 0;
  cluster.channel->OnDisconnect([&] { ++lost; });
  std::vector<Result<Answer>> answers;
  Spawn(cluster.io.get_executor(), AskInto(cluster.channel, kHold, "x", kPlenty, &answers), "ask");
  cluster.RunUntil([&] { return cluster.service.holding == 1; });

  cluster.StopServer();
  EXPECT_EQ(cluster.service.gone, 1);
  cluster.RunUntil([&] { return answers.size() == 1; });
  EXPECT_FALSE(cluster.channel->connected());
  EXPECT_EQ(lost, 1);
  cluster.StartServer();
  cluster.Run(AskInto(cluster.channel, kEcho, "again", kPlenty, &answers));

  EXPECT_EQ(Texts(answers), (std::vector<std::string>{"Unavailable", "again"}));
  EXPECT_TRUE(cluster.channel->connected());
  cluster.service.Release();
  cluster.Run(Yield());
}

TEST(Call, FailsWhenTheServiceClosesTheConnection) {
  Cluster cluster;
  std::vector<Result<Answer>> answers;

  cluster.Run(AskInto(cluster.channel, kDrop, "", kPlenty, &answers));
  cluster.RunUntil([&] { return cluster.service.gone == 1; });

  EXPECT_EQ(Texts(answers), std::vector<std::string>{"Unavailable"});
}

TEST(Call, OfABodyThatDoesNotParseIsAnsweredAndCutOff) {
  Cluster cluster;
  std::vector<Result<Answer>> answers;

  cluster.Run(AskInto(cluster.channel, kBadBody, "", kPlenty, &answers));
  cluster.RunUntil([&] { return cluster.service.gone == 1 && !cluster.channel->connected(); });

  EXPECT_EQ(Texts(answers), std::vector<std::string>{"Protocol"});
}

TEST(Call, GoesToAnotherAddressWhenTheFirstDoesNotAnswer) {
  Cluster cluster;
  Cluster other;
  other.StopServer();
  cluster.channel = Channel::Make(cluster.io.get_executor(), {other.address, cluster.address});
  std::vector<Result<Answer>> answers;

  cluster.Run(AskInto(cluster.channel, kEcho, "x", kPlenty, &answers));

  EXPECT_EQ(Texts(answers), std::vector<std::string>{"x"});
}

TEST(Push, ArrivesInItsPlaceAmongTheAnswers) {
  Cluster cluster;
  std::vector<std::string> seen;
  cluster.channel->OnPush([&](uint32_t method, std::string body) {
    EXPECT_EQ(method, kPushy);
    google::protobuf::StringValue text;
    EXPECT_TRUE(text.ParseFromString(body));
    seen.push_back("push " + text.value());
  });

  cluster.Run([](Cluster& c, std::vector<std::string>& out) -> asio::awaitable<void> {
    for (int i = 0; i < 3; ++i) {
      Result<Answer> answer = co_await Ask(c.channel, kPushy, "answer");
      out.push_back(answer ? answer->body : answer.error().ToString());
      google::protobuf::StringValue after;
      after.set_value("after");
      c.service.last_peer->Push(kPushy, after);
    }
    co_await Ask(c.channel, kEcho, "end");
  }(cluster, seen));

  const std::vector<std::string> once = {"push 1", "push 2", "answer", "push after"};
  std::vector<std::string> expected;
  for (int i = 0; i < 3; ++i) expected.insert(expected.end(), once.begin(), once.end());
  EXPECT_EQ(seen, expected);
}

TEST(Server, ReadsNoFurtherCallsThanItMayRun) {
  ServerOptions options;
  options.max_calls_per_peer = 4;
  Cluster cluster(options);
  std::vector<Result<Answer>> answers;
  for (int i = 0; i < 20; ++i) {
    Spawn(cluster.io.get_executor(),
          AskInto(cluster.channel, kHold, std::to_string(i), kPlenty, &answers), "ask");
  }
  cluster.RunUntil([&] { return cluster.service.holding == 4; });
  cluster.Run(SleepMs(10));
  EXPECT_EQ(cluster.service.arrived.size(), 4u);

  cluster.RunUntil([&] {
    EXPECT_LE(cluster.service.holding, 4);
    cluster.service.Release();
    return answers.size() == 20;
  });

  EXPECT_EQ(cluster.service.arrived.size(), 20u);
}

TEST(Server, RefusesAnAddressInUseAndOneThatIsNone) {
  Cluster cluster;
  Server second(cluster.io.get_executor(), cluster.service);

  EXPECT_EQ(second.Listen(cluster.address).code(), Errc::kBusy);
  EXPECT_EQ(second.Listen("nonsense").code(), Errc::kInvalid);
  EXPECT_EQ(second.Listen("127.0.0.1:99999").code(), Errc::kInvalid);
}

TEST(Address, IsHostAndPort) {
  struct Case {
    const char* text;
    const char* host;
    uint16_t port;
  };
  for (const Case& c : {Case{"a.example:80", "a.example", 80}, Case{"[::1]:9", "::1", 9}}) {
    SCOPED_TRACE(c.text);
    const Result<HostPort> parsed = ParseHostPort(c.text);
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->host, c.host);
    EXPECT_EQ(parsed->port, c.port);
  }
  for (const char* bad : {"", ":", "a", "a:", ":1", "::1:2", "[]:1", "a:65536", "a:1x", "a:-1"}) {
    EXPECT_EQ(ParseHostPort(bad).code(), Errc::kInvalid) << bad;
  }
}

TEST(Channel, GreetsBeforeAnyWaitingCall) {
  Cluster cluster;
  cluster.channel->OnConnect([&]() -> asio::awaitable<Result<void>> {
    Result<Answer> first = co_await cluster.channel->CallNow(kEcho, "hello", kPlenty);
    if (!first) co_return Fail(first.error());
    Result<Answer> second = co_await cluster.channel->CallNow(kEcho, "again", kPlenty);
    if (!second) co_return Fail(second.error());
    co_return Result<void>{};
  });
  std::vector<Result<Answer>> answers;

  cluster.Run(AskInto(cluster.channel, kEcho, "call", kPlenty, &answers));

  EXPECT_EQ(cluster.service.arrived, (std::vector<std::string>{"hello", "again", "call"}));
}

TEST(Channel, TriesAgainWhenTheGreetingFails) {
  Cluster cluster;
  int attempts = 0;
  cluster.channel->OnConnect([&]() -> asio::awaitable<Result<void>> {
    if (++attempts < 3) co_return Fail(Errc::kFenced, "not yet");
    co_return Result<void>{};
  });
  std::vector<Result<Answer>> answers;

  cluster.Run(AskInto(cluster.channel, kEcho, "call", kPlenty, &answers));

  EXPECT_EQ(attempts, 3);
  EXPECT_EQ(Texts(answers), std::vector<std::string>{"call"});
}

TEST(Channel, TellsWhyTheGreetingFailed) {
  Cluster cluster;
  cluster.channel->OnConnect([&]() -> asio::awaitable<Result<void>> {
    co_return Fail(Errc::kWrongCluster, "this is cluster B");
  });
  std::vector<Result<Answer>> answers;

  cluster.Run(AskInto(cluster.channel, kEcho, "call", 50, &answers));

  EXPECT_EQ(answers[0].error().ToString(),
            "Unavailable: " + cluster.address + ": WrongCluster: this is cluster B");
}

TEST(Channel, KeepsConnectedWithoutCallsAndAfterALoss) {
  Cluster cluster;
  cluster.channel->KeepConnected();
  cluster.RunUntil([&] { return cluster.channel->connected(); });

  cluster.channel->Disconnect();
  EXPECT_FALSE(cluster.channel->connected());

  cluster.RunUntil([&] { return cluster.channel->connected(); });
}

TEST(Channel, CloseEndsCallsInFlightAndLaterOnes) {
  Cluster cluster;
  std::vector<Result<Answer>> answers;
  Spawn(cluster.io.get_executor(), AskInto(cluster.channel, kHold, "x", kPlenty, &answers), "ask");
  cluster.RunUntil([&] { return cluster.service.holding == 1; });

  cluster.channel->Close();
  cluster.RunUntil([&] { return answers.size() == 1; });
  cluster.Run(AskInto(cluster.channel, kEcho, "y", kPlenty, &answers));

  EXPECT_EQ(Texts(answers), (std::vector<std::string>{"Cancelled", "Cancelled"}));
  cluster.service.Release();
  cluster.Run(Yield());
}

TEST(Channel, EndsACallThatIsCancelled) {
  Cluster cluster;
  std::vector<Result<Answer>> answers;
  asio::cancellation_signal signal;
  asio::co_spawn(cluster.io, AskInto(cluster.channel, kHold, "x", kPlenty, &answers),
                 asio::bind_cancellation_slot(
                     signal.slot(), [](const std::exception_ptr& error) { EXPECT_FALSE(error); }));
  cluster.RunUntil([&] { return cluster.service.holding == 1; });

  signal.emit(asio::cancellation_type::terminal);
  EXPECT_TRUE(answers.empty());
  cluster.RunUntil([&] { return answers.size() == 1; });
  cluster.service.Release();
  cluster.Run(AskInto(cluster.channel, kEcho, "y", kPlenty, &answers));

  EXPECT_EQ(Texts(answers), (std::vector<std::string>{"Cancelled", "y"}));
}

}  // namespace
}  // namespace ringfs::rpc
