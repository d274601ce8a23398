#include "tests/master/state_support.h"

#include <sys/stat.h>

namespace ringfs::master {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

}  // namespace

TestMaster::TestMaster() {
  Start();
  wire::Command format;
  format.mutable_format_cluster()->set_cluster_id("0123456789abcdef");
  format.mutable_format_cluster()->set_replicas(2);
  format.mutable_format_cluster()->set_bucket_bits(2);
  Apply(format);
  session_ = OpenSession();
}

Outcome TestMaster::Apply(wire::Command command) {
  now_ns_ += kSecond;
  command.set_time_ns(now_ns_);
  return machine_->Apply(command);
}

uint64_t TestMaster::OpenSession() {
  std::string client(16, '\0');
  client[0] = static_cast<char>(++clients_);
  wire::Command command;
  command.mutable_open_session()->set_client(client);
  command.mutable_open_session()->set_host("host");
  Outcome outcome = Apply(command);
  EXPECT_EQ(outcome.error, Errc::kOk) << outcome.detail;
  return Raw(outcome.session);
}

Outcome TestMaster::Do(wire::MetaRequest request, uint64_t session) {
  wire::Command command;
  request.set_session(session == 0 ? session_ : session);
  uint64_t& sequence = sequences_[request.session()];
  request.set_sequence(sequence + 1);
  *request.mutable_who() = who_;
  *command.mutable_meta() = std::move(request);
  Outcome outcome = Apply(command);
  if (!outcome.held) ++sequence;
  return outcome;
}

Result<wire::MetaReply> TestMaster::Ask(const wire::MetaRequest& request) const {
  return machine_->Query(request);
}

Outcome TestMaster::MakeNode(uint64_t parent, std::string_view name, uint32_t mode,
                             std::string_view target) {
  wire::MetaRequest request;
  request.mutable_make_node()->set_parent(parent);
  request.mutable_make_node()->set_name(name.data(), name.size());
  request.mutable_make_node()->set_mode(mode);
  request.mutable_make_node()->set_target(target.data(), target.size());
  return Do(request);
}

uint64_t TestMaster::MakeFile(uint64_t parent, std::string_view name) {
  Outcome outcome = MakeNode(parent, name, S_IFREG | 0644);
  EXPECT_EQ(outcome.error, Errc::kOk) << outcome.detail;
  return outcome.reply.attributes().inode();
}

uint64_t TestMaster::MakeDirectory(uint64_t parent, std::string_view name) {
  Outcome outcome = MakeNode(parent, name, S_IFDIR | 0755);
  EXPECT_EQ(outcome.error, Errc::kOk) << outcome.detail;
  return outcome.reply.attributes().inode();
}

Outcome TestMaster::Link(uint64_t inode, uint64_t parent, std::string_view name) {
  wire::MetaRequest request;
  request.mutable_link()->set_inode(inode);
  request.mutable_link()->set_parent(parent);
  request.mutable_link()->set_name(name.data(), name.size());
  return Do(request);
}

Outcome TestMaster::Unlink(uint64_t parent, std::string_view name) {
  wire::MetaRequest request;
  request.mutable_unlink()->set_parent(parent);
  request.mutable_unlink()->set_name(name.data(), name.size());
  return Do(request);
}

Outcome TestMaster::RemoveDirectory(uint64_t parent, std::string_view name) {
  wire::MetaRequest request;
  request.mutable_remove_directory()->set_parent(parent);
  request.mutable_remove_directory()->set_name(name.data(), name.size());
  return Do(request);
}

Outcome TestMaster::Rename(uint64_t parent, std::string_view name, uint64_t new_parent,
                           std::string_view new_name, uint32_t flags) {
  wire::MetaRequest request;
  wire::Rename& rename = *request.mutable_rename();
  rename.set_parent(parent);
  rename.set_name(name.data(), name.size());
  rename.set_new_parent(new_parent);
  rename.set_new_name(new_name.data(), new_name.size());
  rename.set_flags(flags);
  return Do(request);
}

Outcome TestMaster::Resize(uint64_t inode, uint64_t size, uint64_t session) {
  wire::MetaRequest request;
  request.mutable_set_attributes()->set_inode(inode);
  request.mutable_set_attributes()->set_size(size);
  return Do(request, session);
}

Outcome TestMaster::Extend(uint64_t inode, uint64_t end, uint64_t session) {
  wire::Attributes attributes = Attributes(inode);
  wire::MetaRequest request;
  request.mutable_extend()->set_inode(inode);
  request.mutable_extend()->set_data(attributes.data());
  request.mutable_extend()->set_generation(attributes.generation());
  request.mutable_extend()->set_end(end);
  return Do(request, session);
}

Outcome TestMaster::CutDone(uint64_t inode, uint64_t session) {
  wire::MetaRequest request;
  request.mutable_cut_done()->set_inode(inode);
  request.mutable_cut_done()->set_generation(Attributes(inode).generation());
  return Do(request, session);
}

Outcome TestMaster::SetXattr(uint64_t inode, std::string_view name, std::string_view value,
                             uint32_t flags) {
  wire::MetaRequest request;
  request.mutable_set_xattr()->set_inode(inode);
  request.mutable_set_xattr()->set_name(name.data(), name.size());
  request.mutable_set_xattr()->set_value(value.data(), value.size());
  request.mutable_set_xattr()->set_flags(flags);
  return Do(request);
}

Errc TestMaster::Lookup(uint64_t parent, std::string_view name) const {
  wire::MetaRequest request;
  request.mutable_lookup()->set_parent(parent);
  request.mutable_lookup()->set_name(name.data(), name.size());
  return Ask(request).code();
}

uint64_t TestMaster::Find(uint64_t parent, std::string_view name) const {
  wire::MetaRequest request;
  request.mutable_lookup()->set_parent(parent);
  request.mutable_lookup()->set_name(name.data(), name.size());
  Result<wire::MetaReply> reply = Ask(request);
  return reply ? reply->attributes().inode() : 0;
}

wire::Attributes TestMaster::Attributes(uint64_t inode) const {
  Result<wire::Attributes> attributes = machine_->Attributes(InodeId{inode});
  EXPECT_EQ(attributes.code(), Errc::kOk) << inode;
  return attributes ? *attributes : wire::Attributes();
}

std::vector<std::string> TestMaster::Names(uint64_t directory) const {
  wire::MetaRequest request;
  request.mutable_read_directory()->set_inode(directory);
  request.mutable_read_directory()->set_max_entries(kMaxEntriesListed);
  Result<wire::MetaReply> reply = Ask(request);
  EXPECT_EQ(reply.code(), Errc::kOk);
  std::vector<std::string> names;
  if (!reply) return names;
  for (const wire::Entry& entry : reply->entries()) names.push_back(entry.name());
  return names;
}

void TestMaster::Commit() {
  Overlay::Batch batch = machine_->TakeBatch();
  ASSERT_TRUE(machine_->Commit(batch));
  machine_->Committed();
}

void TestMaster::Reopen() {
  Commit();
  machine_.reset();
  Start();
}

void TestMaster::Start() {
  Result<Database> database = disk_.Open("state");
  ASSERT_TRUE(database) << database.error().ToString();
  Result<std::unique_ptr<StateMachine>> machine = StateMachine::Open(std::move(*database));
  ASSERT_TRUE(machine) << machine.error().ToString();
  machine_ = std::move(*machine);
}

std::map<std::string, std::string> TestMaster::Contents() {
  Commit();
  machine_.reset();
  std::map<std::string, std::string> contents;
  {
    Result<Database> database = disk_.Open("state");
    std::unique_ptr<leveldb::Iterator> at(database->db->NewIterator({}));
    for (at->SeekToFirst(); at->Valid(); at->Next()) {
      contents[at->key().ToString()] = at->value().ToString();
    }
  }
  Start();
  return contents;
}

void TestMaster::Forge(const std::string& key, const std::string& value) {
  Commit();
  machine_.reset();
  {
    Result<Database> database = disk_.Open("state");
    ASSERT_TRUE(database->db->Put({}, key, value).ok());
  }
  Start();
}

std::string Hex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (char byte : bytes) {
    text.push_back(kDigits[static_cast<uint8_t>(byte) >> 4]);
    text.push_back(kDigits[static_cast<uint8_t>(byte) & 15]);
  }
  return text;
}

}  // namespace ringfs::master
