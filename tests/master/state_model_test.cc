#include <sys/stat.h>

#include <random>
#include <set>

#include "tests/master/state_support.h"

namespace ringfs::master {
namespace {

// A filesystem as plain as it can be: a map of nodes. It answers each call with the error that
// POSIX wants.
class Model {
 public:
  struct Node {
    uint32_t type = 0;
    uint64_t parent = 0;  // of a directory
    uint64_t size = 0;
    std::map<std::string, uint64_t> children;
  };

  Model() { nodes_[kRoot] = Node{S_IFDIR, kRoot, 0, {}}; }

  const std::map<uint64_t, Node>& nodes() const { return nodes_; }
  bool IsDirectory(uint64_t inode) const { return nodes_.at(inode).type == S_IFDIR; }

  uint32_t Links(uint64_t inode) const {
    uint32_t names = 0;
    uint32_t subdirectories = 0;
    for (const auto& [id, node] : nodes_) {
      for (const auto& [name, child] : node.children) {
        if (child == inode) ++names;
        if (id == inode && IsDirectory(child)) ++subdirectories;
      }
    }
    if (!IsDirectory(inode)) return names;
    return names > 0 || inode == kRoot ? 2 + subdirectories : 0;
  }

  Errc Make(uint64_t parent, const std::string& name, uint32_t type, uint64_t inode) {
    if (Errc error = CheckParent(parent); error != Errc::kOk) return error;
    if (nodes_[parent].children.contains(name)) return Errc::kExists;
    nodes_[parent].children[name] = inode;
    nodes_[inode] = Node{type, type == S_IFDIR ? parent : 0, 0, {}};
    return Errc::kOk;
  }

  Errc Link(uint64_t inode, uint64_t parent, const std::string& name) {
    if (Errc error = CheckParent(parent); error != Errc::kOk) return error;
    if (nodes_[parent].children.contains(name)) return Errc::kExists;
    if (!nodes_.contains(inode)) return Errc::kStale;
    if (IsDirectory(inode)) return Errc::kNotPermitted;
    if (Links(inode) == 0) return Errc::kNotFound;
    nodes_[parent].children[name] = inode;
    return Errc::kOk;
  }

  Errc Remove(uint64_t parent, const std::string& name, bool directory) {
    if (!nodes_.contains(parent)) return Errc::kStale;
    if (!IsDirectory(parent)) return Errc::kNotDirectory;
    auto found = nodes_[parent].children.find(name);
    if (found == nodes_[parent].children.end()) return Errc::kNotFound;
    if (IsDirectory(found->second) != directory) {
      return directory ? Errc::kNotDirectory : Errc::kIsDirectory;
    }
    if (!nodes_[found->second].children.empty()) return Errc::kNotEmpty;
    nodes_[parent].children.erase(found);
    return Errc::kOk;
  }

  Errc Rename(uint64_t from, const std::string& name, uint64_t to, const std::string& new_name,
              uint32_t flags) {
    for (uint64_t parent : {from, to}) {
      if (!nodes_.contains(parent)) return Errc::kStale;
      if (!IsDirectory(parent)) return Errc::kNotDirectory;
    }
    auto& olds = nodes_[from].children;
    auto& news = nodes_[to].children;
    if (!olds.contains(name)) return Errc::kNotFound;
    if (CheckParent(to) != Errc::kOk) return Errc::kNotFound;
    bool exists = news.contains(new_name);
    if (flags == 1 && exists) return Errc::kExists;
    if (flags == 2 && !exists) return Errc::kNotFound;
    uint64_t moved = olds[name];
    if (IsDirectory(moved) && Within(to, moved)) return Errc::kInvalid;
    if (exists && IsDirectory(news[new_name]) && Within(from, news[new_name])) {
      return flags == 2 ? Errc::kInvalid : Errc::kNotEmpty;
    }
    if (exists && news[new_name] == moved) return Errc::kOk;
    if (flags == 2) {
      uint64_t other = news[new_name];
      olds[name] = other;
      news[new_name] = moved;
      if (IsDirectory(other)) nodes_[other].parent = from;
    } else {
      if (exists) {
        uint64_t old = news[new_name];
        if (IsDirectory(moved) && !IsDirectory(old)) return Errc::kNotDirectory;
        if (!IsDirectory(moved) && IsDirectory(old)) return Errc::kIsDirectory;
        if (!nodes_[old].children.empty()) return Errc::kNotEmpty;
      }
      olds.erase(name);
      news[new_name] = moved;
    }
    if (IsDirectory(moved)) nodes_[moved].parent = to;
    return Errc::kOk;
  }

  Errc Resize(uint64_t inode, uint64_t size) {
    if (!nodes_.contains(inode)) return Errc::kStale;
    if (IsDirectory(inode)) return Errc::kIsDirectory;
    if (nodes_[inode].type != S_IFREG) return Errc::kInvalid;
    nodes_[inode].size = size;
    return Errc::kOk;
  }

  std::vector<uint64_t> Collect() {
    std::vector<uint64_t> gone;
    for (const auto& [id, node] : nodes_) {
      if (Links(id) == 0) gone.push_back(id);
    }
    for (uint64_t id : gone) nodes_.erase(id);
    return gone;
  }

 private:
  Errc CheckParent(uint64_t parent) const {
    if (!nodes_.contains(parent)) return Errc::kStale;
    if (!IsDirectory(parent)) return Errc::kNotDirectory;
    return Links(parent) == 0 ? Errc::kNotFound : Errc::kOk;
  }

  bool Within(uint64_t directory, uint64_t ancestor) const {
    for (; directory != ancestor; directory = nodes_.at(directory).parent) {
      if (directory == kRoot) return false;
    }
    return true;
  }

  std::map<uint64_t, Node> nodes_;
};

// Does the same to a master and to the model.
class Pair {
 public:
  explicit Pair(uint32_t seed) : random_(seed) {}

  void Step() {
    uint64_t parent = AnyParent();
    std::string name = AnyNameIn(parent);
    switch (random_() % 10) {
      case 0:
      case 1:
      case 2: {
        constexpr uint32_t kTypes[] = {S_IFREG, S_IFREG, S_IFREG, S_IFDIR,
                                       S_IFDIR, S_IFLNK, S_IFIFO};
        uint32_t type = kTypes[random_() % std::size(kTypes)];
        Outcome made = master_.MakeNode(parent, name, type | 0755, type == S_IFLNK ? "t" : "");
        Check("make", made, model_.Make(parent, name, type, made.reply.attributes().inode()));
        break;
      }
      case 3: {
        uint64_t inode = AnyInode();
        Check("link", master_.Link(inode, parent, name), model_.Link(inode, parent, name));
        break;
      }
      case 4:
        Check("unlink", master_.Unlink(parent, name), model_.Remove(parent, name, false));
        break;
      case 5:
        if (random_() % 4 != 0) PickDirectory(parent, name);
        Check("rmdir", master_.RemoveDirectory(parent, name), model_.Remove(parent, name, true));
        break;
      case 6:
      case 7:
      case 8: {
        uint64_t to = random_() % 2 == 0 ? parent : AnyParent();
        std::string new_name = AnyNameIn(to);
        uint32_t flags = random_() % 3;
        Check("rename", master_.Rename(parent, name, to, new_name, flags),
              model_.Rename(parent, name, to, new_name, flags));
        break;
      }
      default: {
        parent = AnyInode();
        uint64_t size = random_() % 3 * 1000;
        Check("resize", master_.Resize(parent, size), model_.Resize(parent, size));
        if (master_.machine().Attributes(InodeId{parent}).code() == Errc::kOk &&
            master_.Attributes(parent).has_cut()) {
          master_.CutDone(parent);
        }
      }
    }
  }

  void Collect() {
    wire::Command collect;
    collect.mutable_collect_inodes();
    for (uint64_t inode : model_.Collect()) collect.mutable_collect_inodes()->add_inodes(inode);
    EXPECT_EQ(master_.Apply(collect).error, Errc::kOk);
  }

  void Compare() {
    uint64_t bytes = 0;
    for (const auto& [inode, node] : model_.nodes()) {
      SCOPED_TRACE(inode);
      wire::Attributes attributes = master_.Attributes(inode);
      ASSERT_EQ(attributes.mode() & S_IFMT, node.type);
      ASSERT_EQ(attributes.links(), model_.Links(inode));
      if (node.type == S_IFREG) {
        ASSERT_EQ(attributes.size(), node.size);
      }
      bytes += node.size;
      if (node.type == S_IFDIR) CompareDirectory(inode, node);
    }
    EXPECT_EQ(master_.machine().statistics().inodes, model_.nodes().size());
    EXPECT_EQ(master_.machine().statistics().files_bytes, bytes);
  }

  void CompareDirectory(uint64_t inode, const Model::Node& node) {
    if (model_.nodes().contains(node.parent)) {
      EXPECT_EQ(master_.Find(inode, ".."), node.parent);
    }
    std::vector<std::string> listed = master_.Names(inode);
    std::set<std::string> names(listed.begin(), listed.end());
    ASSERT_EQ(names.size(), listed.size());
    ASSERT_EQ(names.size(), node.children.size());
    for (const auto& [name, child] : node.children) {
      ASSERT_TRUE(names.contains(name));
      ASSERT_EQ(master_.Find(inode, name), child);
      if (model_.IsDirectory(child)) {
        EXPECT_EQ(*master_.machine().PathOf(InodeId{child}), PathInModel(child));
      }
    }
  }

  TestMaster& master() { return master_; }
  std::mt19937& random() { return random_; }
  // How often each operation succeeded.
  const std::map<std::string, int>& done() const { return done_; }

 private:
  void Check(const char* what, const Outcome& outcome, Errc expected) {
    ASSERT_EQ(outcome.error, expected) << what << ": " << outcome.detail;
    if (expected == Errc::kOk) ++done_[what];
  }

  // Mostly one that exists.
  uint64_t AnyInode() {
    if (random_() % 50 == 0) return 1 + random_() % 200;
    auto at = model_.nodes().begin();
    std::advance(at, random_() % model_.nodes().size());
    return at->first;
  }

  // Mostly a directory that has a name.
  uint64_t AnyParent() {
    uint64_t inode = kRoot;
    for (int tries = random_() % 8; tries > 0; --tries) {
      inode = AnyInode();
      if (model_.nodes().contains(inode) && model_.IsDirectory(inode) && model_.Links(inode) > 0) {
        break;
      }
    }
    return inode;
  }

  // Sets where a directory is, mostly an empty one.
  void PickDirectory(uint64_t& parent, std::string& name) {
    for (int tries = 0; tries < 5; ++tries) {
      auto found = model_.nodes().find(AnyParent());
      if (found == model_.nodes().end() || !model_.nodes().contains(found->second.parent)) continue;
      for (const auto& [called, child] : model_.nodes().at(found->second.parent).children) {
        if (child != found->first) continue;
        parent = found->second.parent;
        name = called;
      }
      if (found->second.children.empty()) return;
    }
  }

  // As often one that is there as any.
  std::string AnyNameIn(uint64_t inode) {
    auto found = model_.nodes().find(inode);
    if (random_() % 2 == 0 || found == model_.nodes().end() || found->second.children.empty()) {
      return std::string(1, "abcdefghij"[random_() % 10]);
    }
    auto child = found->second.children.begin();
    std::advance(child, random_() % found->second.children.size());
    return child->first;
  }

  std::string PathInModel(uint64_t inode) const {
    if (inode == kRoot) return "";
    uint64_t parent = model_.nodes().at(inode).parent;
    for (const auto& [name, child] : model_.nodes().at(parent).children) {
      if (child == inode) return PathInModel(parent) + "/" + name;
    }
    return "?";
  }

  std::mt19937 random_;
  TestMaster master_;
  Model model_;
  std::map<std::string, int> done_;
};

TEST(StateModel, AgreesOverRandomOperations) {
  for (uint32_t seed : {1u, 2u, 3u}) {
    SCOPED_TRACE(seed);
    Pair pair(seed);
    for (int step = 0; step < 3000; ++step) {
      SCOPED_TRACE(step);
      pair.Step();
      if (testing::Test::HasFatalFailure()) return;
      if (pair.random()() % 40 == 0) pair.Collect();
      if (pair.random()() % 20 == 0) pair.master().Commit();
      if (step % 300 != 299) continue;
      if (pair.random()() % 2 == 0) pair.master().Reopen();
      pair.Compare();
      if (testing::Test::HasFatalFailure()) return;
    }
    for (const auto& [what, times] : pair.done()) EXPECT_GT(times, 20) << what;
  }
}

// The same commands make the same database, wherever batches are cut and restarts fall.
TEST(StateModel, IsDeterministic) {
  Pair one(7);
  Pair other(7);
  for (int step = 0; step < 1000; ++step) {
    one.Step();
    other.Step();
    if (step % 50 == 0) one.Collect();
    if (step % 50 == 0) other.Collect();
    if (step % 7 == 0) one.master().Commit();
    if (step % 211 == 0) other.master().Reopen();
  }
  EXPECT_EQ(one.master().Contents(), other.master().Contents());
}

}  // namespace
}  // namespace ringfs::master
