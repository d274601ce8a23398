// What each change recalls before it is applied.

#include <gtest/gtest.h>

#include <set>
#include <utility>

#include "service_support.h"

namespace ringfs::master {
namespace {

constexpr uint64_t kTop = 1;

wire::Attributes MakeNode(TestClient& client, uint64_t parent, const std::string& name,
                          uint32_t mode) {
  wire::MetaRequest request = client.Request();
  request.mutable_make_node()->set_parent(parent);
  request.mutable_make_node()->set_name(name);
  request.mutable_make_node()->set_mode(mode);
  const auto reply = client.Meta(request);
  RINGFS_CHECK(bool{reply});
  return reply->attributes();
}

// Two directories; in the first two files and an empty directory.
struct World {
  explicit World(TestClient& maker) {
    one = MakeNode(maker, kTop, "one", 0040755).inode();
    two = MakeNode(maker, kTop, "two", 0040755).inode();
    file = MakeNode(maker, one, "file", 0100644);
    other = MakeNode(maker, one, "other", 0100644).inode();
    empty = MakeNode(maker, one, "empty", 0040755).inode();
    wire::MetaRequest xattr = maker.Request();
    xattr.mutable_set_xattr()->set_inode(file.inode());
    xattr.mutable_set_xattr()->set_name("user.x");
    RINGFS_CHECK(bool{maker.Meta(xattr)});
  }

  uint64_t one;
  uint64_t two;
  wire::Attributes file;
  uint64_t other;
  uint64_t empty;
};

using Inodes = std::set<uint64_t>;
struct Case {
  const char* what;
  void (*ask)(const World&, wire::MetaRequest&);
  Inodes (*recalls)(const World&);
  Errc error = Errc::kOk;
};

template <typename Names>
void SetName(Names& names, uint64_t parent, const char* name) {
  names.set_parent(parent);
  names.set_name(name);
}

void SetRename(wire::MetaRequest& request, uint64_t from, const char* name, uint64_t to,
               const char* new_name, uint32_t flags = 0) {
  SetName(*request.mutable_rename(), from, name);
  request.mutable_rename()->set_new_parent(to);
  request.mutable_rename()->set_new_name(new_name);
  request.mutable_rename()->set_flags(flags);
}

const Case kAttributeCases[] = {
    {"mode",
     [](const World& w, wire::MetaRequest& r) {
       r.mutable_set_attributes()->set_inode(w.file.inode());
       r.mutable_set_attributes()->set_mode(0600);
     },
     [](const World& w) { return Inodes{w.file.inode()}; }},
    {"size",
     [](const World& w, wire::MetaRequest& r) {
       r.mutable_set_attributes()->set_inode(w.file.inode());
       r.mutable_set_attributes()->set_size(100);
     },
     [](const World& w) { return Inodes{w.file.inode()}; }},
    {"time of the last access, by reading",
     [](const World& w, wire::MetaRequest& r) {
       r.mutable_set_attributes()->set_inode(w.file.inode());
       r.mutable_set_attributes()->set_atime_now(true);
       r.mutable_set_attributes()->set_was_read(true);
     },
     [](const World&) { return Inodes{}; }},
    {"extend",
     [](const World& w, wire::MetaRequest& r) {
       r.mutable_extend()->set_inode(w.file.inode());
       r.mutable_extend()->set_data(w.file.data());
       r.mutable_extend()->set_generation(w.file.generation());
       r.mutable_extend()->set_end(100);
     },
     [](const World& w) { return Inodes{w.file.inode()}; }},
    {"open with truncation",
     [](const World& w, wire::MetaRequest& r) {
       r.mutable_open()->set_inode(w.file.inode());
       r.mutable_open()->set_writing(true);
       r.mutable_open()->set_truncate(true);
     },
     [](const World& w) { return Inodes{w.file.inode()}; }},
    {"open for writing",
     [](const World& w, wire::MetaRequest& r) {
       r.mutable_open()->set_inode(w.file.inode());
       r.mutable_open()->set_writing(true);
     },
     [](const World&) { return Inodes{}; }},
    {"set an extended attribute",
     [](const World& w, wire::MetaRequest& r) {
       r.mutable_set_xattr()->set_inode(w.one);
       r.mutable_set_xattr()->set_name("user.y");
     },
     [](const World& w) { return Inodes{w.one}; }},
    {"remove an extended attribute",
     [](const World& w, wire::MetaRequest& r) {
       r.mutable_remove_xattr()->set_inode(w.file.inode());
       r.mutable_remove_xattr()->set_name("user.x");
     },
     [](const World& w) { return Inodes{w.file.inode()}; }},
};

const Case kNameCases[] = {
    {"create",
     [](const World& w, wire::MetaRequest& r) { SetName(*r.mutable_create(), w.one, "new"); },
     [](const World& w) { return Inodes{w.one}; }},
    {"create what is there",
     [](const World& w, wire::MetaRequest& r) { SetName(*r.mutable_create(), w.one, "file"); },
     [](const World&) { return Inodes{}; }},
    {"create exclusively what is there",
     [](const World& w, wire::MetaRequest& r) {
       SetName(*r.mutable_create(), w.one, "file");
       r.mutable_create()->set_exclusive(true);
     },
     [](const World&) { return Inodes{}; }, Errc::kExists},
    {"create with truncation",
     [](const World& w, wire::MetaRequest& r) {
       SetName(*r.mutable_create(), w.one, "file");
       r.mutable_create()->set_truncate(true);
     },
     [](const World& w) { return Inodes{w.file.inode()}; }},
    {"make a directory",
     [](const World& w, wire::MetaRequest& r) {
       SetName(*r.mutable_make_node(), w.one, "new");
       r.mutable_make_node()->set_mode(0040755);
     },
     [](const World& w) { return Inodes{w.one}; }},
    {"make a directory that is there",
     [](const World& w, wire::MetaRequest& r) {
       SetName(*r.mutable_make_node(), w.one, "empty");
       r.mutable_make_node()->set_mode(0040755);
     },
     [](const World&) { return Inodes{}; }, Errc::kExists},
    {"link",
     [](const World& w, wire::MetaRequest& r) {
       SetName(*r.mutable_link(), w.two, "new");
       r.mutable_link()->set_inode(w.file.inode());
     },
     [](const World& w) { return Inodes{w.two, w.file.inode()}; }},
    {"unlink",
     [](const World& w, wire::MetaRequest& r) { SetName(*r.mutable_unlink(), w.one, "file"); },
     [](const World& w) { return Inodes{w.one, w.file.inode()}; }},
    {"unlink what is not there",
     [](const World& w, wire::MetaRequest& r) { SetName(*r.mutable_unlink(), w.one, "none"); },
     [](const World&) { return Inodes{}; }, Errc::kNotFound},
    {"remove a directory",
     [](const World& w, wire::MetaRequest& r) {
       SetName(*r.mutable_remove_directory(), w.one, "empty");
     },
     [](const World& w) { return Inodes{w.one, w.empty}; }},
};

const Case kRenameCases[] = {
    {"within a directory",
     [](const World& w, wire::MetaRequest& r) { SetRename(r, w.one, "file", w.one, "new"); },
     [](const World& w) { return Inodes{w.one, w.file.inode()}; }},
    {"over another file",
     [](const World& w, wire::MetaRequest& r) { SetRename(r, w.one, "file", w.one, "other"); },
     [](const World& w) { return Inodes{w.one, w.file.inode(), w.other}; }},
    {"into another directory",
     [](const World& w, wire::MetaRequest& r) { SetRename(r, w.one, "file", w.two, "new"); },
     [](const World& w) { return Inodes{w.one, w.two, w.file.inode()}; }},
    {"of a directory",
     [](const World& w, wire::MetaRequest& r) { SetRename(r, w.one, "empty", w.two, "new"); },
     [](const World& w) { return Inodes{w.one, w.two, w.empty}; }},
    {"of two for each other",
     [](const World& w, wire::MetaRequest& r) { SetRename(r, w.one, "file", w.one, "empty", 2); },
     [](const World& w) { return Inodes{w.one, w.file.inode(), w.empty}; }},
    {"that would replace, but must not",
     [](const World& w, wire::MetaRequest& r) { SetRename(r, w.one, "file", w.one, "other", 1); },
     [](const World&) { return Inodes{}; }, Errc::kExists},
    {"of nothing",
     [](const World& w, wire::MetaRequest& r) { SetRename(r, w.one, "none", w.one, "new"); },
     [](const World&) { return Inodes{}; }, Errc::kNotFound},
};

// Caches all of the world. Returns the inodes.
Inodes CacheAll(TestClient& client, const World& world) {
  Inodes cached;
  auto look = [&](uint64_t parent, const char* name) {
    const auto reply = client.Lookup(parent, name);
    RINGFS_CHECK(bool{reply});
    const uint64_t inode = reply->attributes().inode();
    EXPECT_EQ(LeaseIn(*reply, parent), wire::LEASE_READ);
    EXPECT_EQ(LeaseIn(*reply, inode), wire::LEASE_READ);
    cached.insert({parent, inode});
  };
  look(kTop, "one");
  look(kTop, "two");
  for (const char* name : {"file", "other", "empty"}) look(world.one, name);
  const auto absent = client.Lookup(world.two, "new");
  RINGFS_CHECK(bool{absent});
  EXPECT_TRUE(absent->absent());
  EXPECT_EQ(LeaseIn(*absent, world.two), wire::LEASE_READ);
  cached.insert(world.two);
  return cached;
}

void ExpectRecalls(const Case& one) {
  SCOPED_TRACE(one.what);
  TestMaster master;
  TestClient maker(master, 'm');
  maker.Open();
  TestClient holder(master, 'a');
  holder.OpenCaching();
  TestClient changer(master, 'b');
  changer.OpenCaching();
  const World world(maker);
  const Inodes cached = CacheAll(holder, world);

  wire::MetaRequest request = changer.Request();
  one.ask(world, request);
  const auto pending = changer.StartMeta(request);
  const Inodes expected = one.recalls(world);
  std::vector<wire::RecallPush> recalls;
  for (size_t i = 0; i < expected.size(); ++i) recalls.push_back(holder.TakeRecall());
  holder.Settle();
  EXPECT_FALSE(holder.HasPush(wire::MASTER_PUSH_RECALL));
  Inodes recalled;
  for (const wire::RecallPush& recall : recalls) {
    EXPECT_FALSE(pending->has_value()) << "before the holder has answered";
    EXPECT_EQ(recall.keep(), wire::LEASE_NONE);
    recalled.insert(recall.inode());
    holder.Answer(recall);
  }
  EXPECT_EQ(recalled, expected);
  ASSERT_TRUE(master.RunUntil([&] { return pending->has_value(); }));
  EXPECT_EQ((*pending)->code(), one.error);
  if (!**pending) return;
  // Nothing else that anybody has cached was changed.
  for (const uint64_t inode : (**pending)->touched()) {
    const bool access = request.set_attributes().was_read();
    EXPECT_TRUE(access || recalled.contains(inode) || !cached.contains(inode)) << inode;
  }
}

TEST(Recalls, ComeBeforeAChangeOfAttributesOrContent) {
  for (const Case& one : kAttributeCases) ExpectRecalls(one);
}

TEST(Recalls, ComeBeforeAChangeOfNames) {
  for (const Case& one : kNameCases) ExpectRecalls(one);
}

TEST(Recalls, ComeBeforeARename) {
  for (const Case& one : kRenameCases) ExpectRecalls(one);
}

// Each of the two has cached the directory in which the other one makes a file.
TEST(Recalls, LetCrossingCreatesInOneDirectoryBothGoOn) {
  TestMaster master;
  TestClient a(master, 'a');
  TestClient b(master, 'b');
  for (TestClient* client : {&a, &b}) {
    client->OpenCaching();
    ASSERT_TRUE(client->Lookup(kTop, "x"));
  }
  std::vector<Pending<wire::MetaReply>> pending;
  for (TestClient* client : {&a, &b}) {
    wire::MetaRequest request = client->Request();
    SetName(*request.mutable_create(), kTop, client == &a ? "of-a" : "of-b");
    pending.push_back(client->StartMeta(request));
  }
  for (TestClient* client : {&a, &b}) client->Answer(client->TakeRecall());
  ASSERT_TRUE(master.RunUntil([&] { return pending[0]->has_value() && pending[1]->has_value(); }));
  for (const auto& one : pending) EXPECT_TRUE(**one);
}

}  // namespace
}  // namespace ringfs::master
