#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "master/state/database.h"
#include "master/state/state_machine.h"

namespace ringfs::master {

inline constexpr uint64_t kRoot = 1;

// A formatted state machine on a database in memory, with one session, whose clock moves by a
// second with each command.
class TestMaster {
 public:
  TestMaster();

  StateMachine& machine() { return *machine_; }
  const StateMachine& machine() const { return *machine_; }
  uint64_t session() const { return session_; }
  int64_t now_ns() const { return now_ns_; }
  wire::Credentials& who() { return who_; }

  // The command, at the next second.
  Outcome Apply(wire::Command command);
  uint64_t OpenSession();
  // A change in the name of `session`, in slot 0 with the next sequence.
  Outcome Do(wire::MetaRequest request, uint64_t session = 0);
  Result<wire::MetaReply> Ask(const wire::MetaRequest& request) const;

  // Shorthands; the calls that return a number or attributes want success.
  Outcome MakeNode(uint64_t parent, std::string_view name, uint32_t mode,
                   std::string_view target = {});
  uint64_t MakeFile(uint64_t parent, std::string_view name);
  uint64_t MakeDirectory(uint64_t parent, std::string_view name);
  Outcome Link(uint64_t inode, uint64_t parent, std::string_view name);
  Outcome Unlink(uint64_t parent, std::string_view name);
  Outcome RemoveDirectory(uint64_t parent, std::string_view name);
  Outcome Rename(uint64_t parent, std::string_view name, uint64_t new_parent,
                 std::string_view new_name, uint32_t flags = 0);
  Outcome Resize(uint64_t inode, uint64_t size, uint64_t session = 0);
  // With the data id and generation that the file has.
  Outcome Extend(uint64_t inode, uint64_t end, uint64_t session = 0);
  Outcome CutDone(uint64_t inode, uint64_t session = 0);
  Outcome SetXattr(uint64_t inode, std::string_view name, std::string_view value,
                   uint32_t flags = 0);
  Errc Lookup(uint64_t parent, std::string_view name) const;
  uint64_t Find(uint64_t parent, std::string_view name) const;
  wire::Attributes Attributes(uint64_t inode) const;
  std::vector<std::string> Names(uint64_t directory) const;

  void Commit();
  // Commits, closes the database, and opens it again.
  void Reopen();
  // All that the database holds, after a commit. The machine is opened again.
  std::map<std::string, std::string> Contents();
  // Commits, and puts a record into the database behind the back of the machine, which is opened
  // again.
  void Forge(const std::string& key, const std::string& value);

 private:
  void Start();

  MemoryDisk disk_;
  std::unique_ptr<StateMachine> machine_;
  int64_t now_ns_ = 1'000'000'000'000'000'000;
  wire::Credentials who_;
  uint64_t clients_ = 0;
  std::map<uint64_t, uint64_t> sequences_;
  uint64_t session_ = 0;
};

std::string Hex(std::string_view bytes);

}  // namespace ringfs::master
