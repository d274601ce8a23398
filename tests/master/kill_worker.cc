#include "kill_worker.h"

#include <sys/stat.h>

#include <algorithm>
#include <utility>

#include "common/ids.h"

namespace ringfs::master {
namespace {

constexpr int64_t kTryMs = 20'000;
constexpr int kNames = 6;

}  // namespace

ReturningSession::ReturningSession(asio::any_io_executor executor, const std::string& address,
                                   char name)
    : client_(16, name) {
  rpc::ChannelOptions options;
  options.backoff_min_ms = 1;
  options.backoff_max_ms = 20;
  channel_ = rpc::Channel::Make(std::move(executor), {address}, options);
  channel_->OnConnect([this] { return OpenSession(); });
}

asio::awaitable<Result<void>> ReturningSession::OpenSession() {
  wire::OpenSessionRequest request;
  request.set_session(session_);
  request.set_client(client_);
  request.set_ttl_ms(60'000);
  const auto answer =
      co_await channel_->CallNow(wire::MASTER_OPEN_SESSION, request.SerializeAsString(), kTryMs);
  if (!answer) co_return Fail(answer.error());
  const Result<wire::OpenSessionReply> reply = rpc::Parse<wire::OpenSessionReply>(answer->body);
  if (!reply) co_return Fail(reply.error());
  session_ = reply->session();
  ++reconnects_;
  co_return Result<void>();
}

asio::awaitable<Result<wire::MetaReply>> ReturningSession::Ask(wire::MetaRequest request) {
  while (true) {
    // The first request is made before there is a session.
    request.set_session(session_);
    if (session_ == 0) {
      wire::StatusRequest status;
      const auto connected = co_await rpc::CallFor<wire::StatusReply>(
          channel_, wire::MASTER_STATUS, status.SerializeAsString(), kTryMs);
      if (!connected) continue;
      request.set_session(session_);
    }
    auto reply = co_await rpc::CallFor<wire::MetaReply>(channel_, wire::MASTER_META,
                                                        request.SerializeAsString(), kTryMs);
    if (reply || (reply.code() != Errc::kUnavailable && reply.code() != Errc::kTimedOut)) {
      co_return reply;
    }
  }
}

wire::MetaRequest KillWorker::Request() {
  wire::MetaRequest request;
  request.set_slot(slot_);
  request.set_sequence(++sequence_);
  return request;
}

asio::awaitable<void> KillWorker::Expect(std::string what, wire::MetaRequest request,
                                         Errc expected) {
  const Result<wire::MetaReply> reply = co_await session_.Ask(std::move(request));
  ++steps_;
  if (reply.code() != expected) {
    failures_.push_back(what + ": expected " + std::string(Name(expected)) + ", got " +
                        (reply ? "success" : reply.error().ToString()));
  }
  answer_ = reply ? *reply : wire::MetaReply();
}

asio::awaitable<void> KillWorker::Prepare(std::string name) {
  wire::MetaRequest request = Request();
  request.mutable_make_node()->set_parent(Raw(kRootInode));
  request.mutable_make_node()->set_name(name);
  request.mutable_make_node()->set_mode(S_IFDIR | 0755);
  co_await Expect("make " + name, std::move(request), Errc::kOk);
  directory_ = answer_.attributes().inode();
}

std::string KillWorker::RandomName() {
  return std::string(1, static_cast<char>('a' + random_() % kNames));
}

asio::awaitable<void> KillWorker::Step() {
  const std::string name = RandomName();
  const std::string to = RandomName();
  switch (random_() % 8) {
    case 0:
      co_await Make(name, true);
      break;
    case 1:
    case 2:
      co_await Make(name, false);
      break;
    case 3:
      co_await Link(name, to);
      break;
    case 4:
      co_await Unlink(name);
      break;
    case 5:
      co_await RemoveDirectory(name);
      break;
    default:
      co_await Rename(name, to);
  }
}

asio::awaitable<void> KillWorker::Make(std::string name, bool directory) {
  wire::MetaRequest request = Request();
  request.mutable_make_node()->set_parent(directory_);
  request.mutable_make_node()->set_name(name);
  request.mutable_make_node()->set_mode(directory ? S_IFDIR | 0755 : S_IFREG | 0644);
  const bool exists = model_.contains(name);
  co_await Expect("make " + name, std::move(request), exists ? Errc::kExists : Errc::kOk);
  if (!exists) model_[name] = Node{answer_.attributes().inode(), directory};
}

asio::awaitable<void> KillWorker::Link(std::string name, std::string to) {
  const auto found = model_.find(name);
  if (found == model_.end() || found->second.directory) co_return;
  const Node node = found->second;
  wire::MetaRequest request = Request();
  request.mutable_link()->set_inode(node.inode);
  request.mutable_link()->set_parent(directory_);
  request.mutable_link()->set_name(to);
  const bool exists = model_.contains(to);
  co_await Expect("link " + name + " " + to, std::move(request),
                  exists ? Errc::kExists : Errc::kOk);
  if (exists) co_return;
  model_[to] = node;
  if (answer_.attributes().links() != LinksOf(node.inode)) {
    failures_.push_back("link " + name + " " + to + ": a wrong number of links");
  }
}

asio::awaitable<void> KillWorker::Unlink(std::string name) {
  wire::MetaRequest request = Request();
  request.mutable_unlink()->set_parent(directory_);
  request.mutable_unlink()->set_name(name);
  const auto found = model_.find(name);
  Errc expected = Errc::kOk;
  if (found == model_.end()) expected = Errc::kNotFound;
  if (found != model_.end() && found->second.directory) expected = Errc::kIsDirectory;
  co_await Expect("unlink " + name, std::move(request), expected);
  if (expected == Errc::kOk) model_.erase(name);
}

asio::awaitable<void> KillWorker::RemoveDirectory(std::string name) {
  wire::MetaRequest request = Request();
  request.mutable_remove_directory()->set_parent(directory_);
  request.mutable_remove_directory()->set_name(name);
  const auto found = model_.find(name);
  Errc expected = Errc::kOk;
  if (found == model_.end()) expected = Errc::kNotFound;
  if (found != model_.end() && !found->second.directory) expected = Errc::kNotDirectory;
  co_await Expect("rmdir " + name, std::move(request), expected);
  if (expected == Errc::kOk) model_.erase(name);
}

Errc KillWorker::RenameAnswer(const std::string& name, const std::string& to) const {
  const auto from = model_.find(name);
  const auto onto = model_.find(to);
  if (from == model_.end()) return Errc::kNotFound;
  if (onto == model_.end() || from->second.inode == onto->second.inode) return Errc::kOk;
  if (from->second.directory && !onto->second.directory) return Errc::kNotDirectory;
  if (!from->second.directory && onto->second.directory) return Errc::kIsDirectory;
  return Errc::kOk;
}

asio::awaitable<void> KillWorker::Rename(std::string name, std::string to) {
  wire::MetaRequest request = Request();
  request.mutable_rename()->set_parent(directory_);
  request.mutable_rename()->set_name(name);
  request.mutable_rename()->set_new_parent(directory_);
  request.mutable_rename()->set_new_name(to);
  const Errc expected = RenameAnswer(name, to);
  co_await Expect("rename " + name + " " + to, std::move(request), expected);
  if (expected != Errc::kOk) co_return;
  const auto onto = model_.find(to);
  const Node node = model_.at(name);
  // Two names of one file stay as they are.
  if (onto != model_.end() && onto->second.inode == node.inode) co_return;
  model_.erase(name);
  model_[to] = node;
}

uint32_t KillWorker::LinksOf(uint64_t inode) const {
  return static_cast<uint32_t>(std::count_if(
      model_.begin(), model_.end(), [inode](const auto& e) { return e.second.inode == inode; }));
}

asio::awaitable<void> KillWorker::Verify() {
  wire::MetaRequest request;
  request.mutable_read_directory()->set_inode(directory_);
  request.mutable_read_directory()->set_max_entries(100);
  request.mutable_read_directory()->set_attributes(true);
  const Result<wire::MetaReply> reply = co_await session_.Ask(std::move(request));
  if (!reply) {
    failures_.push_back("listing: " + reply.error().ToString());
    co_return;
  }
  std::map<std::string, Node> found;
  for (const wire::Entry& entry : reply->entries()) {
    const bool directory = S_ISDIR(entry.mode());
    found[entry.name()] = Node{entry.inode(), directory};
    const uint32_t links = directory ? 2 : LinksOf(entry.inode());
    if (entry.attributes().links() != links) {
      failures_.push_back(entry.name() + ": a wrong number of links");
    }
  }
  auto same = [](const auto& a, const auto& b) {
    return a.first == b.first && a.second.inode == b.second.inode &&
           a.second.directory == b.second.directory;
  };
  if (!std::equal(found.begin(), found.end(), model_.begin(), model_.end(), same)) {
    failures_.push_back("the directory has " + std::to_string(found.size()) +
                        " names that are not the " + std::to_string(model_.size()) + " it had");
  }
}

}  // namespace ringfs::master
