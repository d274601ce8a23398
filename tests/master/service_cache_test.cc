// Several mounts that cache whatever they may, at random: nothing that is cached is ever outdated,
// and every request comes to its end.

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <utility>

#include "service_support.h"

namespace ringfs::master {
namespace {

constexpr uint64_t kMounts = 3;
constexpr uint64_t kFolders = 3;
constexpr uint64_t kNames = 4;
constexpr int kCacheSteps = 700;
constexpr uint64_t kCacheSeeds = 8;
constexpr int64_t kLongTtlMs = 3'600'000;

class CachingMount {
 public:
  CachingMount(TestMaster& master, char name, const std::vector<uint64_t>& folders)
      : client_(master, name), folders_(folders) {
    client_.OpenCaching(kLongTtlMs);
  }

  bool busy() const { return pending_ != nullptr; }
  size_t cached() const { return attributes_.size() + names_.size(); }
  size_t recalls() const { return recalls_; }

  void Ask(std::mt19937_64& random);
  // Takes the answer if it has come.
  void Hear() {
    if (!pending_ || !pending_->has_value()) return;
    if (**pending_) Learn(***pending_);
    pending_.reset();
  }
  // What is recalled is dropped at once, and answered later.
  void TakeRecalls() {
    while (client_.HasPush(wire::MASTER_PUSH_RECALL)) {
      const wire::RecallPush recall = client_.TakeRecall();
      const auto lease = leases_.find(recall.inode());
      const bool known = lease != leases_.end() && lease->second >= recall.number();
      if (known && lease->second > recall.number()) continue;
      // An answer that came before it, and is heard later, grants nothing either.
      const bool gone = !known || recall.keep() == wire::LEASE_NONE;
      if (gone) void_[recall.inode()] = std::max(void_[recall.inode()], recall.number());
      if (recall.keep() == wire::LEASE_NONE) Drop(recall.inode());
      if (recall.keep() == wire::LEASE_NONE) leases_.erase(recall.inode());
      owed_.push_back(recall);
      ++recalls_;
    }
  }
  void AnswerOne() {
    if (owed_.empty()) return;
    client_.Answer(owed_.front());
    owed_.erase(owed_.begin());
  }

  void Reconnect() {
    client_.Disconnect();
    Lost();
    void_.clear();
    RINGFS_CHECK(bool{client_.Resume()});
  }
  // It may still use what it has cached, and takes no lease, until DropFormer().
  void ReturnAfterRestart() {
    while (client_.HasPush(wire::MASTER_PUSH_RECALL)) client_.TakeRecall();
    client_.Disconnect();
    Lost();
    void_.clear();
    leases_.clear();
    former_ = true;
    RINGFS_CHECK(bool{client_.Resume()});
  }
  void DropFormer() {
    if (!std::exchange(former_, false)) return;
    attributes_.clear();
    names_.clear();
    client_.SayAllDropped();
  }

  // A change of its own may have been applied already, although it has not heard so.
  void ExpectAllIsCurrent(const StateMachine& state) const {
    if (busy() && changes_) return;
    for (const auto& [inode, cached] : attributes_) {
      const auto current = state.Attributes(InodeId{inode});
      ASSERT_TRUE(current) << inode;
      ASSERT_EQ(cached, current->SerializeAsString()) << inode;
    }
    for (const auto& [key, inode] : names_) {
      wire::MetaRequest lookup;
      lookup.mutable_lookup()->set_parent(key.first);
      lookup.mutable_lookup()->set_name(key.second);
      const auto current = state.Query(lookup);
      ASSERT_EQ(inode, current ? current->attributes().inode() : 0) << key.second;
    }
  }

 private:
  // The answer to what it has asked is lost; a change may have been applied or not.
  void Lost() {
    if (busy() && changes_) attributes_.clear();
    if (busy() && changes_) names_.clear();
    pending_.reset();
    owed_.clear();
  }
  void Drop(uint64_t inode) {
    attributes_.erase(inode);
    std::erase_if(names_, [inode](const auto& one) { return one.first.first == inode; });
  }
  void Learn(const wire::MetaReply& reply);
  void Keep(const wire::Attributes& attributes, const std::set<uint64_t>& leased) {
    if (attributes.inode() == 0) return;
    seen_.push_back(attributes.inode());
    if (!leased.contains(attributes.inode())) return;
    attributes_[attributes.inode()] = attributes.SerializeAsString();
  }
  void FillRead(std::mt19937_64& random, wire::MetaRequest& request);
  void FillNames(std::mt19937_64& random, wire::MetaRequest& request);
  void FillChange(std::mt19937_64& random, wire::MetaRequest& request);
  uint64_t Folder(std::mt19937_64& random) const { return folders_[random() % kFolders]; }
  static std::string Name(std::mt19937_64& random) { return std::to_string(random() % kNames); }

  TestClient client_;
  const std::vector<uint64_t>& folders_;
  std::vector<uint64_t> seen_{Raw(kRootInode)};
  std::map<uint64_t, uint64_t> leases_;  // with their numbers
  std::map<uint64_t, uint64_t> void_;
  std::map<uint64_t, std::string> attributes_;
  std::map<std::pair<uint64_t, std::string>, uint64_t> names_;  // 0: absent
  std::vector<wire::RecallPush> owed_;
  Pending<wire::MetaReply> pending_;
  wire::MetaRequest request_;
  bool changes_ = false;
  bool former_ = false;
  size_t recalls_ = 0;
};

void CachingMount::Learn(const wire::MetaReply& reply) {
  for (const uint64_t inode : reply.touched()) Drop(inode);
  std::set<uint64_t> leased;
  for (const wire::LeaseGrant& grant : reply.leases()) {
    if (former_ || grant.number() <= void_[grant.inode()]) continue;
    if (grant.number() < leases_[grant.inode()]) continue;
    leases_[grant.inode()] = grant.number();
    leased.insert(grant.inode());
  }
  Keep(reply.attributes(), leased);
  if (request_.has_lookup() && leased.contains(request_.lookup().parent())) {
    names_[{request_.lookup().parent(), request_.lookup().name()}] = reply.attributes().inode();
  }
  for (const wire::Entry& entry : reply.entries()) {
    Keep(entry.attributes(), leased);
    const uint64_t folder = request_.read_directory().inode();
    if (leased.contains(folder)) names_[{folder, entry.name()}] = entry.inode();
  }
}

void CachingMount::FillRead(std::mt19937_64& random, wire::MetaRequest& request) {
  switch (random() % 4) {
    case 0:
      request.mutable_get_attributes()->set_inode(seen_[random() % seen_.size()]);
      request.mutable_get_attributes()->set_for_pages(random() % 2 == 0);
      break;
    case 1:
      request.mutable_read_directory()->set_inode(Folder(random));
      request.mutable_read_directory()->set_max_entries(10);
      request.mutable_read_directory()->set_attributes(true);
      break;
    default:
      request.mutable_lookup()->set_parent(Folder(random));
      request.mutable_lookup()->set_name(Name(random));
  }
}

void CachingMount::FillNames(std::mt19937_64& random, wire::MetaRequest& request) {
  auto fill = [&](auto& names) {
    names.set_parent(Folder(random));
    names.set_name(Name(random));
  };
  switch (random() % 7) {
    case 0:
      fill(*request.mutable_create());
      request.mutable_create()->set_writing(random() % 2 == 0);
      request.mutable_create()->set_truncate(random() % 2 == 0);
      break;
    case 1:
      fill(*request.mutable_make_node());
      request.mutable_make_node()->set_mode(random() % 2 == 0 ? 0040755 : 0100644);
      break;
    case 2:
      fill(*request.mutable_link());
      request.mutable_link()->set_inode(seen_[random() % seen_.size()]);
      break;
    case 3:
      return fill(*request.mutable_unlink());
    case 4:
      return fill(*request.mutable_remove_directory());
    default:
      fill(*request.mutable_rename());
      request.mutable_rename()->set_new_parent(Folder(random));
      request.mutable_rename()->set_new_name(Name(random));
      request.mutable_rename()->set_flags(static_cast<uint32_t>(random() % 3));
  }
}

void CachingMount::FillChange(std::mt19937_64& random, wire::MetaRequest& request) {
  const uint64_t inode = seen_[random() % seen_.size()];
  switch (random() % 4) {
    case 0:
      request.mutable_set_attributes()->set_inode(inode);
      request.mutable_set_attributes()->set_mode(static_cast<uint32_t>(random() % 0777));
      break;
    case 1:
      request.mutable_set_xattr()->set_inode(inode);
      request.mutable_set_xattr()->set_name("user.x");
      break;
    case 2:
      request.mutable_open()->set_inode(inode);
      request.mutable_open()->set_writing(true);
      request.mutable_open()->set_truncate(random() % 2 == 0);
      break;
    default: {
      wire::Attributes known;
      const auto cached = attributes_.find(inode);
      if (cached != attributes_.end()) RINGFS_CHECK(known.ParseFromString(cached->second));
      request.mutable_extend()->set_inode(inode);
      request.mutable_extend()->set_data(known.data());
      request.mutable_extend()->set_generation(known.generation());
      request.mutable_extend()->set_end(known.size() + 1);
    }
  }
}

void CachingMount::Ask(std::mt19937_64& random) {
  request_ = client_.Request();
  const uint64_t kind = random() % 4;
  changes_ = kind >= 2;
  if (kind < 2) FillRead(random, request_);
  if (kind == 2) FillNames(random, request_);
  if (kind == 3) FillChange(random, request_);
  pending_ = client_.StartMeta(request_, 60'000);
}

class CacheModel {
 public:
  explicit CacheModel(uint64_t seed) : random_(seed) {
    TestClient maker(master_, 'm');
    maker.Open();
    for (uint64_t i = 0; i < kFolders; ++i) {
      wire::MetaRequest request = maker.Request();
      request.mutable_make_node()->set_parent(Raw(kRootInode));
      request.mutable_make_node()->set_name("folder" + std::to_string(i));
      request.mutable_make_node()->set_mode(0040755);
      folders_.push_back(maker.Meta(request)->attributes().inode());
    }
    for (uint64_t i = 0; i < kMounts; ++i) {
      const char name = static_cast<char>('a' + i);
      mounts_.push_back(std::make_unique<CachingMount>(master_, name, folders_));
    }
  }

  void Step() {
    CachingMount& mount = *mounts_[random_() % kMounts];
    const uint64_t what = random_() % 400;
    if (what == 0) {
      master_.Restart();
      for (const auto& one : mounts_) one->ReturnAfterRestart();
    } else if (what < 4) {
      mount.Reconnect();
    } else if (what < 20) {
      master_.PassTime(static_cast<int64_t>(random_() % 1200));
    } else if (what < 160) {
      if (!mount.busy()) mount.Ask(random_);
    } else if (what < 180) {
      mount.DropFormer();
    } else {
      mount.AnswerOne();
    }
    Poll();
    for (const auto& one : mounts_) {
      one->ExpectAllIsCurrent(master_.state());
      cached_ += one->cached();
    }
  }

  // Everybody answers: everything comes to its end, and was worth something.
  void Finish() {
    for (const auto& one : mounts_) one->DropFormer();
    const bool ended = master_.RunUntil([&] {
      bool busy = false;
      Poll();
      for (const auto& one : mounts_) {
        busy = busy || one->busy();
        one->AnswerOne();
      }
      return !busy;
    });
    EXPECT_TRUE(ended);
    EXPECT_TRUE(WasWorthSomething());
  }

  // Enough was cached, and recalled. On a busy machine a step may find that no answer has come yet.
  bool WasWorthSomething() const {
    uint64_t recalls = 0;
    for (const auto& one : mounts_) recalls += one->recalls();
    return cached_ > uint64_t{kCacheSteps} && recalls > 10;
  }

 private:
  void Poll() {
    master_.io().restart();
    master_.io().poll();
    for (const auto& one : mounts_) {
      if (random_() % 2 == 0) one->Hear();
      one->TakeRecalls();
      one->Hear();
    }
  }

  std::mt19937_64 random_;
  TestMaster master_;
  std::vector<uint64_t> folders_;
  std::vector<std::unique_ptr<CachingMount>> mounts_;
  uint64_t cached_ = 0;
};

TEST(CacheModelTest, NothingThatIsCachedIsEverOutdated) {
  for (uint64_t seed = 1; seed <= kCacheSeeds; ++seed) {
    SCOPED_TRACE(seed);
    CacheModel model(seed);
    for (int step = 0; step < 100 * kCacheSteps && !testing::Test::HasFatalFailure(); ++step) {
      if (step >= kCacheSteps && model.WasWorthSomething()) break;
      model.Step();
    }
    if (!testing::Test::HasFailure()) model.Finish();
    if (testing::Test::HasFailure()) break;
  }
}

}  // namespace
}  // namespace ringfs::master
