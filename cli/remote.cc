#include "cli/remote.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <optional>
#include <utility>

#include "common/async.h"

namespace ringfs::cli {
namespace {

constexpr int64_t kSilentMs = 2000;

asio::awaitable<void> CallOnce(std::shared_ptr<rpc::Channel> channel, uint32_t method,
                               std::string body, int64_t timeout_ms,
                               std::optional<Result<rpc::Answer>>* answer) {
  auto arrived = co_await channel->Call(method, std::move(body), {}, timeout_ms);
  *answer = std::move(arrived);
}

asio::awaitable<void> CallSteps(std::shared_ptr<rpc::Channel> channel, std::vector<Step> steps,
                                Result<void>* outcome, size_t* left) {
  for (Step& step : steps) {
    auto answer = co_await channel->Call(step.method, std::move(step.body), {}, step.timeout_ms);
    if (!answer) {
      *outcome = Fail(answer.error());
      break;
    }
  }
  channel->Close();
  --*left;
}

asio::awaitable<void> Elapse(int64_t ms, bool* elapsed) {
  co_await SleepMs(ms);
  *elapsed = true;
}

}  // namespace

Master::Master(std::vector<std::string> addresses, int64_t answer_ms, std::string who)
    : who_(std::move(who)),
      name_(fmt::format("{}", fmt::join(addresses, ","))),
      answer_ms_(answer_ms),
      context_(1),
      channel_(rpc::Channel::Make(context_.get_executor(), std::move(addresses))) {}

Master::~Master() { channel_->Close(); }

Result<std::string> Master::Call(uint32_t method, const google::protobuf::MessageLite& request) {
  // Between calls nobody answers the other end's pings: it may have given the connection up.
  const int64_t silent_ms = (clock_.MonotonicNs() - listened_ns_) / kNsPerMs;
  if (listened_ns_ != 0 && silent_ms > kSilentMs) channel_->Disconnect();
  std::optional<Result<rpc::Answer>> answer;
  Spawn(context_.get_executor(),
        CallOnce(channel_, method, request.SerializeAsString(), answer_ms_, &answer), "call");
  context_.restart();
  while (!answer) context_.run_one();
  listened_ns_ = clock_.MonotonicNs();
  if (*answer) return std::move((*answer)->body);
  Error error = answer->error();
  if (error.code == Errc::kUnavailable || error.code == Errc::kTimedOut) {
    error.detail = fmt::format("{} at {} does not answer ({})", who_, name_, error.detail);
  } else if (error.code == Errc::kNotSupported) {
    error.detail = fmt::format("{} at {} does not do this ({})", who_, name_, error.ToString());
  } else if (error.detail.empty()) {
    error.detail = fmt::format("{} at {} says {}", who_, name_, error.ToString());
  }
  return Fail(std::move(error));
}

void Master::Pause(int64_t ms) {
  bool elapsed = false;
  Spawn(context_.get_executor(), Elapse(ms, &elapsed), "pause");
  context_.restart();
  while (!elapsed) context_.run_one();
}

std::vector<Result<void>> CallEach(const std::vector<std::string>& addresses,
                                   const std::vector<Step>& steps) {
  std::vector<Result<void>> outcomes(addresses.size());
  size_t left = addresses.size();
  asio::io_context context(1);
  for (size_t i = 0; i < addresses.size(); ++i) {
    auto channel = rpc::Channel::Make(context.get_executor(), {addresses[i]});
    Spawn(context.get_executor(), CallSteps(std::move(channel), steps, &outcomes[i], &left),
          "calls");
  }
  while (left > 0) context.run_one();
  return outcomes;
}

}  // namespace ringfs::cli
