#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "client/background.h"
#include "client/block_io.h"
#include "client/master_link.h"
#include "client/open_files.h"
#include "client/ranges.h"
#include "client/retry.h"
#include "client/write_back/write_back.h"
#include "common/buffer.h"
#include "common/result.h"
#include "proto/namespace.pb.h"

namespace ringfs::client {

// A change of the bytes of a file, with what the master is to be told of it afterwards.
struct FileChange {
  enum class Kind {
    kWrite,  // `data`
    kZero,   // [offset, offset + length) reads as zeros and takes no space
    kGrow,   // no bytes, only the size
  };
  Kind kind = Kind::kWrite;
  uint64_t offset = 0;
  uint64_t length = 0;
  Buffer data;
  bool sync = false;       // on the platters when it returns
  bool keep_size = false;  // of kZero: does not grow the file
  bool kill_set_ids = false;
  bool append = false;  // at the end of the file; the caller has the turn
};

// The bytes of files: where the master knows the size and the chunkservers have the blocks.
//
// Threads: only from `executor`.
class FileIo {
 public:
  FileIo(asio::any_io_executor executor, const Clock& clock, MasterLink& link, BlockIo& blocks,
         OpenFiles& files, Background& background);

  // What the master says now.
  asio::awaitable<Result<wire::Attributes>> Attributes(InodeId inode, Deadline deadline);

  // What a finished change, anywhere, has left there: the sizes and blocks are read at the same
  // time, and again when the guess that was read by turns out wrong.
  asio::awaitable<Result<std::vector<Buffer>>> Read(std::shared_ptr<Handle> handle, uint64_t offset,
                                                    uint64_t size, Deadline deadline);

  // The bytes of the file as the attributes say that it is.
  asio::awaitable<Result<std::vector<Buffer>>> ReadAs(wire::Attributes attributes, uint64_t offset,
                                                      uint64_t size, Deadline deadline);

  // Blocks first, then the master. Returns where the bytes went.
  asio::awaitable<Result<uint64_t>> Change(std::shared_ptr<Inode> inode, FileChange change,
                                           Deadline deadline);
  // Changes blocks where the attributes say that they are, within the size, and tells nobody.
  asio::awaitable<Result<void>> Overwrite(std::shared_ptr<Inode> inode, wire::Attributes attributes,
                                          FileChange change, Deadline deadline);
  // Waits for the turn among all mounts, and writes at the end.
  asio::awaitable<Result<uint64_t>> Append(std::shared_ptr<Inode> inode, FileChange change,
                                           Deadline deadline);

  // Stores what was held back: the bytes in large pieces, many at once, then its size and times.
  asio::awaitable<Result<void>> Store(std::shared_ptr<Inode> inode, HeldChange change,
                                      Deadline deadline);

  // Sends a set_attributes with a size; blocks behind a smaller size are cut before it returns.
  asio::awaitable<Result<wire::Attributes>> Resize(wire::MetaRequest request, Deadline deadline);

  // SEEK_DATA, SEEK_HOLE. kNoDevice.
  asio::awaitable<Result<uint64_t>> Seek(InodeId inode, uint64_t offset, bool data,
                                         Deadline deadline);

  // What this client wrote to the inode before is on the platters.
  asio::awaitable<Result<void>> Sync(InodeId inode, Deadline deadline);
  asio::awaitable<Result<void>> SyncAll(Deadline deadline);

 private:
  struct Pieces {
    std::vector<Buffer> buffers;
    bool filled = false;  // some of it are zeros that nobody has stored
  };

  asio::awaitable<Result<Pieces>> ReadBlocks(Layout layout, uint64_t offset, uint64_t size,
                                             Deadline deadline);
  asio::awaitable<Result<std::vector<Buffer>>> Confirm(Handle& handle, Layout guess,
                                                       Result<Pieces> read, wire::Attributes fresh,
                                                       uint64_t offset, uint64_t size,
                                                       Deadline deadline);

  // A change of blocks that the master is told of, by what the attributes say that the file is.
  struct Step {
    uint64_t grows_to = 0;
    std::function<asio::awaitable<Result<void>>(const Layout& layout)> put;
    std::function<asio::awaitable<Result<wire::Attributes>>(const Layout& layout)> tell;
  };

  asio::awaitable<Result<void>> ChangeBlock(std::shared_ptr<Inode> inode, uint64_t generation,
                                            BlockChange change, Deadline deadline);
  asio::awaitable<Result<void>> ChangeBlocks(std::shared_ptr<Inode> inode, Layout layout,
                                             FileChange change, Deadline deadline);
  asio::awaitable<Result<void>> ChangeAll(std::shared_ptr<Inode> inode, uint64_t generation,
                                          std::vector<BlockChange> changes, Deadline deadline);
  asio::awaitable<Result<void>> StorePieces(std::shared_ptr<Inode> inode, Layout layout,
                                            const std::vector<FilePiece>& pieces, bool sync,
                                            Deadline deadline);
  asio::awaitable<Result<wire::Attributes>> SendExtend(wire::Extend extend, Deadline deadline,
                                                       Answered when = Answered::kEarly);
  asio::awaitable<Result<wire::Attributes>> Extend(std::shared_ptr<Inode> inode,
                                                   const Layout& layout, const FileChange& change,
                                                   Deadline deadline);
  asio::awaitable<Result<uint64_t>> ChangeFrom(std::shared_ptr<Inode> inode, FileChange change,
                                               wire::Attributes now, Deadline deadline);
  asio::awaitable<Result<void>> Repeat(std::shared_ptr<Inode> inode, Step step,
                                       wire::Attributes now, Deadline deadline);
  asio::awaitable<void> GiveBackTurn(std::shared_ptr<Inode> inode);
  // What was written and is not known to be on the platters is kept in mind up to a bound.
  asio::awaitable<void> BoundDirtyBlocks(Deadline deadline);

  asio::awaitable<Result<wire::Attributes>> SettleCut(std::shared_ptr<Inode> inode,
                                                      Deadline deadline);
  asio::awaitable<Result<wire::Attributes>> ClaimAndCut(InodeId inode, Deadline deadline);
  asio::awaitable<Result<wire::Attributes>> Cut(wire::Attributes attributes, Deadline deadline);
  asio::awaitable<Result<wire::Attributes>> SendResize(InodeId inode, wire::MetaRequest request,
                                                       Deadline deadline);
  asio::awaitable<void> FinishCut(std::shared_ptr<Inode> inode, Limiter::Hold turn,
                                  SessionId session);

  asio::awaitable<Result<void>> SyncInodes(std::vector<std::shared_ptr<Inode>> inodes,
                                           Deadline deadline);
  asio::awaitable<Result<void>> CheckKept(std::shared_ptr<Inode> inode,
                                          std::map<BlockKey, DirtyBlock> written,
                                          Deadline deadline);

  asio::any_io_executor executor_;
  const Clock& clock_;
  MasterLink& link_;
  BlockIo& blocks_;
  OpenFiles& files_;
  Background& background_;
  Limiter sync_turn_;
};

}  // namespace ringfs::client
