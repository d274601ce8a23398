#pragma once

#include <leveldb/write_batch.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/result.h"
#include "master/state/database.h"
#include "master/state/snapshot.h"

namespace ringfs::master {

// LevelDB, and over it the changes that it does not hold yet: those gathered since the last Take(),
// and those taken but not yet known to be committed. Reads and scans see all of them.
//
// Owns:      the database.
// Threads:   one thread calls everything but Commit(), which another may run at the same time.
class Overlay {
 public:
  // Changes on their way to the disk. Index: of the newest command in it.
  struct Batch {
    leveldb::WriteBatch writes;
    uint64_t index = 0;
  };

  explicit Overlay(Database database);

  // Nothing when there is no such key. kCorrupted, kIo: from the disk.
  Result<std::optional<std::string>> Get(std::string_view key) const;
  // Calls `visit` for each key that starts with `prefix` and is not below `from`, in order, until
  // it returns false. `visit` must not change the overlay.
  using Visitor = std::function<bool(std::string_view key, std::string_view value)>;
  Result<void> Scan(std::string_view prefix, std::string_view from, const Visitor& visit) const;

  void Put(std::string_view key, std::string value);
  void Delete(std::string_view key);

  // From Begin() to Accept() or Rollback() lies one command; Rollback() takes its changes back.
  // Accept() says whether there were any.
  void Begin();
  bool Accept();
  void Rollback();

  bool Empty() const { return gathered_.empty(); }

  // Everything gathered, as one atomic batch; from now on it is on its way. Batches must be
  // committed in the order in which they were taken.
  Batch Take(uint64_t index);
  // Writes a batch, with a flush of the disk. After an error nothing more may be committed: the
  // program has to end. May run on another thread.
  Result<void> Commit(Batch& batch);
  // The oldest batch on its way is in the database.
  void Committed();
  // What is in the database now: whole batches alone; all that was committed.
  std::unique_ptr<Snapshot> TakeSnapshot() { return std::make_unique<Snapshot>(*database_.db); }

 private:
  using Changes = std::map<std::string, std::optional<std::string>, std::less<>>;
  using Layers = std::deque<Changes>;

  void Set(std::string_view key, std::optional<std::string> value);

  Database database_;
  Changes gathered_;
  Layers on_their_way_;  // oldest first
  // What gathered_ held before each change of the command that is being applied.
  struct Undo {
    std::string key;
    std::optional<std::optional<std::string>> before;
  };
  std::deque<Undo> undo_;
  bool in_command_ = false;
};

}  // namespace ringfs::master
