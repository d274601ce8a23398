#include "service_support.h"

#include <algorithm>

#include "master/service/format.h"

namespace ringfs::master {
namespace {

constexpr int64_t kStepMs = 200;
constexpr uint64_t kLastByte = (uint64_t{1} << 63) - 1;

}  // namespace

TestMaster::TestMaster(Membership* membership, ServiceOptions options)
    : membership_(membership), options_(options) {
  Start("127.0.0.1:0");
}

TestMaster::~TestMaster() {
  Stop();
  io_.restart();
  io_.poll();
}

void TestMaster::Start(const std::string& listen) {
  Result<Database> database = disk_.Open("master");
  RINGFS_CHECK(bool{database});
  Result<std::unique_ptr<StateMachine>> state = StateMachine::Open(*std::move(database));
  RINGFS_CHECK(bool{state});
  state_ = *std::move(state);
  FormatOptions format;
  format.cluster_id = std::string(16, 'c');
  format.bucket_bits = 4;
  RINGFS_CHECK(bool{FormatIfNew(*state_, clock_, format)});
  service_ =
      std::make_unique<MasterService>(io_.get_executor(), *state_, clock_, membership_, options_);
  service_->Start([](const Error&) { RINGFS_CHECK(false); });
  server_ = std::make_unique<rpc::Server>(io_.get_executor(), *service_);
  const Result<std::string> address = server_->Listen(listen);
  RINGFS_CHECK(bool{address});
  address_ = *address;
}

void TestMaster::Stop() {
  server_->Stop();
  service_->Stop();
  // Calls that were running see their connections gone before what they refer to is.
  io_.restart();
  io_.poll();
  server_.reset();
  service_.reset();
  state_.reset();
}

void TestMaster::Restart() {
  Stop();
  ++options_.run;
  Start(address_);
}

void TestMaster::Crash() {
  service_->Abandon();
  Restart();
}

void TestMaster::PassTime(int64_t ms) {
  for (int64_t passed = 0; passed < ms; passed += kStepMs) {
    clock_.Advance(std::min(kStepMs, ms - passed) * kNsPerMs);
    service_->Tick();
    io_.restart();
    io_.poll();
  }
}

void TestMaster::StandStill(int64_t ms) {
  clock_.Advance(ms * kNsPerMs);
  service_->Tick();
}

bool TestMaster::RunUntil(const std::function<bool()>& done) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  io_.restart();
  while (!done()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    io_.run_one_for(std::chrono::milliseconds(100));
  }
  return true;
}

TestPeer::TestPeer(TestMaster& master)
    : master_(master),
      channel_(rpc::Channel::Make(master.io().get_executor(), {master.address()})) {
  channel_->OnPush(
      [this](uint32_t method, std::string body) { pushes_.emplace_back(method, std::move(body)); });
}

TestPeer::~TestPeer() {
  channel_->Close();
  master_.io().restart();
  master_.io().poll();
}

std::vector<TestPeer::Push>::iterator TestPeer::FindPush(uint32_t method) {
  return std::find_if(pushes_.begin(), pushes_.end(),
                      [method](const Push& push) { return push.first == method; });
}

void TestPeer::Settle() {
  // The second answer comes after whatever the first has woken; pushes keep their order with both.
  for (int i = 0; i < 2; ++i) {
    RINGFS_CHECK(bool{Call<wire::StatusReply>(wire::MASTER_STATUS, wire::StatusRequest())});
  }
}

void TestPeer::Disconnect() {
  channel_->Disconnect();
  RINGFS_CHECK(master_.RunUntil([&] { return !channel_->connected(); }));
}

TestClient::TestClient(TestMaster& master, char name) : TestPeer(master), name_(name) {}

wire::OpenSessionRequest TestClient::OpenRequest() const {
  wire::OpenSessionRequest request;
  request.set_session(session_);
  request.set_client(std::string(16, name_));
  request.set_host(std::string("host-") + name_);
  request.set_mountpoint("/mnt");
  request.set_pid(name_);
  request.set_caching(caching_);
  return request;
}

void TestClient::Open(int64_t ttl_ms) {
  wire::OpenSessionRequest request = OpenRequest();
  request.set_ttl_ms(ttl_ms);
  const auto reply = Call<wire::OpenSessionReply>(wire::MASTER_OPEN_SESSION, request);
  RINGFS_CHECK(bool{reply});
  session_ = reply->session();
}

void TestClient::OpenCaching(int64_t ttl_ms) {
  caching_ = true;
  Open(ttl_ms);
}

Result<wire::OpenSessionReply> TestClient::Resume(const std::vector<wire::OpenInode>& open,
                                                  const std::vector<uint64_t>& writing,
                                                  const std::vector<wire::MetaRequest>& again) {
  wire::OpenSessionRequest request = OpenRequest();
  for (const wire::MetaRequest& change : again) *request.add_again() = change;
  for (const uint64_t inode : writing) request.add_writing(inode);
  for (const wire::OpenInode& inode : open) *request.add_open() = inode;
  return Call<wire::OpenSessionReply>(wire::MASTER_OPEN_SESSION, request);
}

Result<wire::KeepAliveReply> TestClient::KeepAlive() {
  wire::KeepAliveRequest request;
  request.set_session(session_);
  return Call<wire::KeepAliveReply>(wire::MASTER_KEEP_ALIVE, request);
}

wire::MetaRequest TestClient::Request(uint32_t slot) {
  wire::MetaRequest request;
  request.set_session(session_);
  request.set_slot(slot);
  request.set_sequence(++sequences_[slot]);
  return request;
}

Result<wire::MetaReply> TestClient::Meta(const wire::MetaRequest& request) {
  return Call<wire::MetaReply>(wire::MASTER_META, request);
}

Pending<wire::MetaReply> TestClient::StartMeta(const wire::MetaRequest& request,
                                               int64_t timeout_ms) {
  return Start<wire::MetaReply>(wire::MASTER_META, request, timeout_ms);
}

wire::Attributes TestClient::MakeFile(const std::string& name, uint64_t size) {
  wire::MetaRequest request = Request();
  request.mutable_create()->set_parent(Raw(kRootInode));
  request.mutable_create()->set_name(name);
  request.mutable_create()->set_mode(0100644);
  request.mutable_create()->set_writing(true);
  Result<wire::MetaReply> reply = Meta(request);
  RINGFS_CHECK(bool{reply});
  if (size > 0) reply = Extend(reply->attributes(), size);
  RINGFS_CHECK(bool{reply});
  return reply->attributes();
}

Result<wire::MetaReply> TestClient::Extend(const wire::Attributes& file, uint64_t end,
                                           uint32_t slot) {
  wire::MetaRequest request = Request(slot);
  request.mutable_extend()->set_inode(file.inode());
  request.mutable_extend()->set_data(file.data());
  request.mutable_extend()->set_generation(file.generation());
  request.mutable_extend()->set_end(end);
  return Meta(request);
}

wire::MetaRequest TestClient::LockRequest(uint64_t inode, wire::LockType type, uint64_t waiter,
                                          uint64_t owner) {
  wire::MetaRequest request = Request();
  wire::SetLock& lock = *request.mutable_set_lock();
  lock.set_inode(inode);
  lock.set_kind(wire::LOCK_FLOCK);
  lock.set_type(type);
  lock.set_owner(owner);
  lock.set_last(kLastByte);
  lock.set_wait(waiter != 0);
  lock.set_waiter(waiter);
  lock.set_handle(owner);
  return request;
}

Result<wire::MetaReply> TestClient::Lock(uint64_t inode, wire::LockType type, uint64_t waiter) {
  return Meta(LockRequest(inode, type, waiter));
}

Result<wire::MetaReply> TestClient::Lookup(uint64_t parent, const std::string& name) {
  wire::MetaRequest request = Request();
  request.mutable_lookup()->set_parent(parent);
  request.mutable_lookup()->set_name(name);
  return Meta(request);
}

wire::MetaRequest TestClient::GetAttributesRequest(uint64_t inode) {
  wire::MetaRequest request = Request();
  request.mutable_get_attributes()->set_inode(inode);
  return request;
}

Result<wire::MetaReply> TestClient::GetAttributes(uint64_t inode) {
  return Meta(GetAttributesRequest(inode));
}

void TestClient::Answer(const wire::RecallPush& recall, uint32_t readers) {
  wire::LeaseAnswersRequest request;
  request.set_session(session_);
  wire::LeaseAnswer& answer = *request.add_answers();
  answer.set_inode(recall.inode());
  answer.set_number(recall.number());
  answer.set_kept(recall.keep());
  answer.set_readers(readers);
  RINGFS_CHECK(bool{Call<wire::LeaseAnswersReply>(wire::MASTER_LEASE_ANSWERS, request)});
}

void TestClient::SayAllDropped() {
  wire::LeaseAnswersRequest request;
  request.set_session(session_);
  request.set_all_dropped(true);
  RINGFS_CHECK(bool{Call<wire::LeaseAnswersReply>(wire::MASTER_LEASE_ANSWERS, request)});
}

wire::LeaseKind LeaseIn(const wire::MetaReply& reply, uint64_t inode) {
  for (const wire::LeaseGrant& lease : reply.leases()) {
    if (lease.inode() == inode) return lease.kind();
  }
  return wire::LEASE_NONE;
}

Result<wire::RegisterServerReply> TestServer::Register(uint64_t capacity_bytes,
                                                       uint64_t used_bytes) {
  wire::RegisterServerRequest request;
  request.set_uuid(std::string(16, name_));
  request.set_address(std::string("host-") + name_ + ":1");
  request.set_host(std::string("host-") + name_);
  request.set_weight(100);
  request.set_incarnation(incarnation);
  request.mutable_usage()->set_capacity_bytes(capacity_bytes);
  request.mutable_usage()->set_used_bytes(used_bytes);
  auto reply = Call<wire::RegisterServerReply>(wire::MASTER_REGISTER_SERVER, request);
  if (reply) id_ = reply->server();
  return reply;
}

Result<wire::HeartbeatReply> TestServer::Heartbeat() {
  wire::HeartbeatRequest request;
  request.set_server(id_);
  request.set_incarnation(incarnation);
  return Call<wire::HeartbeatReply>(wire::MASTER_HEARTBEAT, request);
}

void TestServer::ConfirmFence(uint64_t session) {
  wire::FenceDoneRequest request;
  request.set_server(id_);
  request.add_sessions(session);
  RINGFS_CHECK(bool{Call<wire::FenceDoneReply>(wire::MASTER_FENCE_DONE, request)});
}

void TestServer::ConfirmGarbage(const wire::GarbagePush& push) {
  wire::GarbageDoneRequest request;
  request.set_server(id_);
  for (const wire::GarbageItem& item : push.items()) request.add_entries(item.entry());
  RINGFS_CHECK(bool{Call<wire::GarbageDoneReply>(wire::MASTER_GARBAGE_DONE, request)});
}

}  // namespace ringfs::master
