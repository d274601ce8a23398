#include "tests/cli/fake_server.h"

#include <gtest/gtest.h>

#include <asio/executor_work_guard.hpp>
#include <asio/post.hpp>

namespace ringfs::cli {

FakeServer::FakeServer() : context_(1) {
  server_.emplace(context_.get_executor(), *this);
  const Result<std::string> bound = server_->Listen("127.0.0.1:0");
  EXPECT_TRUE(bound) << bound.error().ToString();
  if (bound) address_ = *bound;
  thread_ = std::thread([this] {
    auto work = asio::make_work_guard(context_);
    context_.run();
  });
}

FakeServer::~FakeServer() {
  asio::post(context_, [this] {
    server_.reset();
    context_.stop();
  });
  thread_.join();
}

void FakeServer::Answer(uint32_t method, const google::protobuf::MessageLite& message) {
  const std::lock_guard lock(mutex_);
  answers_.insert_or_assign(method, Result<std::string>(message.SerializeAsString()));
}

void FakeServer::Refuse(uint32_t method, Error error) {
  const std::lock_guard lock(mutex_);
  answers_.insert_or_assign(method, Result<std::string>(Fail(std::move(error))));
}

void FakeServer::AnswerWith(uint32_t method,
                            std::function<std::string(const std::string&)> answer) {
  const std::lock_guard lock(mutex_);
  functions_[method] = std::move(answer);
}

std::vector<std::string> FakeServer::Calls(uint32_t method) const {
  const std::lock_guard lock(mutex_);
  const auto found = calls_.find(method);
  return found == calls_.end() ? std::vector<std::string>() : found->second;
}

asio::awaitable<Result<rpc::Reply>> FakeServer::Handle(std::shared_ptr<rpc::Peer> /*peer*/,
                                                       rpc::Call call) {
  const std::lock_guard lock(mutex_);
  calls_[call.method].push_back(call.body);
  if (const auto function = functions_.find(call.method); function != functions_.end()) {
    rpc::Reply reply;
    reply.body = function->second(call.body);
    co_return reply;
  }
  const auto found = answers_.find(call.method);
  if (found == answers_.end()) co_return Fail(Errc::kNotSupported, "not known here");
  if (!found->second) co_return Fail(found->second.error());
  rpc::Reply reply;
  reply.body = *found->second;
  co_return reply;
}

}  // namespace ringfs::cli
