#pragma once

#include <asio/awaitable.hpp>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "common/rpc/channel.h"
#include "proto/namespace.pb.h"
#include "proto/session.pb.h"

namespace ringfs::master {

// The session of a client that comes back after each loss of its connection.
class ReturningSession {
 public:
  ReturningSession(asio::any_io_executor executor, const std::string& address, char name);
  ~ReturningSession() { channel_->Close(); }

  // Sends until there is an answer that is not about the connection.
  asio::awaitable<Result<wire::MetaReply>> Ask(wire::MetaRequest request);
  uint64_t reconnects() const { return reconnects_; }

 private:
  asio::awaitable<Result<void>> OpenSession();

  std::shared_ptr<rpc::Channel> channel_;
  const std::string client_;
  uint64_t session_ = 0;
  uint64_t reconnects_ = 0;
};

// Makes random changes in a directory of its own, through one slot of a session, and knows for each
// what its answer has to be: it is applied exactly once, whatever happens to the master.
class KillWorker {
 public:
  KillWorker(ReturningSession& session, uint32_t slot, uint64_t seed)
      : session_(session), slot_(slot), random_(seed) {}

  // Makes the directory.
  asio::awaitable<void> Prepare(std::string name);
  // One change. What was wrong is in failures().
  asio::awaitable<void> Step();
  // Compares the directory with what it has to be.
  asio::awaitable<void> Verify();

  const std::vector<std::string>& failures() const { return failures_; }
  uint64_t steps() const { return steps_; }

 private:
  struct Node {
    uint64_t inode = 0;
    bool directory = false;
  };

  wire::MetaRequest Request();
  asio::awaitable<void> Expect(std::string what, wire::MetaRequest request, Errc expected);
  asio::awaitable<void> Make(std::string name, bool directory);
  asio::awaitable<void> Link(std::string name, std::string to);
  asio::awaitable<void> Unlink(std::string name);
  asio::awaitable<void> RemoveDirectory(std::string name);
  asio::awaitable<void> Rename(std::string name, std::string to);
  Errc RenameAnswer(const std::string& name, const std::string& to) const;
  uint32_t LinksOf(uint64_t inode) const;
  std::string RandomName();

  ReturningSession& session_;
  const uint32_t slot_;
  std::mt19937_64 random_;
  uint64_t sequence_ = 0;
  uint64_t directory_ = 0;
  std::map<std::string, Node> model_;
  wire::MetaReply answer_;  // the newest
  std::vector<std::string> failures_;
  uint64_t steps_ = 0;
};

}  // namespace ringfs::master
