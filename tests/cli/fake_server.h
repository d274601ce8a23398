#pragma once

#include <google/protobuf/message_lite.h>

#include <asio/io_context.hpp>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/result.h"
#include "common/rpc/server.h"

namespace ringfs::cli {

// A master or chunkserver on a loopback port, with a thread of its own, that answers what the test
// says; NotSupported to all else.
class FakeServer final : public rpc::Service {
 public:
  FakeServer();
  ~FakeServer() override;

  const std::string& address() const { return address_; }

  // Before the first call of the method.
  void Answer(uint32_t method, const google::protobuf::MessageLite& message);
  void Refuse(uint32_t method, Error error);
  // `answer` makes the body of the answer from that of the call, on the server's thread.
  void AnswerWith(uint32_t method, std::function<std::string(const std::string&)> answer);

  // The bodies of the calls of a method, in order.
  std::vector<std::string> Calls(uint32_t method) const;

  asio::awaitable<Result<rpc::Reply>> Handle(std::shared_ptr<rpc::Peer> peer,
                                             rpc::Call call) override;

 private:
  mutable std::mutex mutex_;
  std::map<uint32_t, Result<std::string>> answers_;
  std::map<uint32_t, std::function<std::string(const std::string&)>> functions_;
  std::map<uint32_t, std::vector<std::string>> calls_;

  asio::io_context context_;
  std::optional<rpc::Server> server_;
  std::string address_;
  std::thread thread_;
};

}  // namespace ringfs::cli
