// Listing directories. A listing has no state here: the offset that the kernel says is 1 and 2
// after
// "." and "..", and the entry's cookie + 2 after an entry (docs/formats/master.md, cookies).
#include <sys/stat.h>

#include <algorithm>
#include <string>
#include <vector>

#include "fuse/handlers.h"

namespace ringfs::fuse {
namespace {

constexpr uint64_t kDotsEnd = 2;

// A directory's answer as it fills up to the size that the kernel asked for.
class Listing {
 public:
  explicit Listing(size_t size) : bytes_(size) {}

  // False when the entry does not fit any more.
  bool Add(fuse_req_t request, const std::string& name, uint64_t inode, uint32_t mode,
           uint64_t next_offset) {
    struct stat stat {};
    stat.st_ino = inode;
    stat.st_mode = mode & S_IFMT;
    const size_t left = bytes_.size() - used_;
    const size_t needs = fuse_add_direntry(request, bytes_.data() + used_, left, name.c_str(),
                                           &stat, static_cast<off_t>(next_offset));
    if (needs > left) return false;
    used_ += needs;
    return true;
  }
  bool empty() const { return used_ == 0; }
  size_t left() const { return bytes_.size() - used_; }
  std::span<const char> bytes() const { return {bytes_.data(), used_}; }

 private:
  std::vector<char> bytes_;
  size_t used_ = 0;
};

asio::awaitable<void> ReadDirectoryAsync(Mount& mount, Reply reply, InodeId inode, size_t size,
                                         uint64_t offset) {
  Listing listing(size);
  if (offset == 0) {
    listing.Add(nullptr, ".", Raw(inode), S_IFDIR, 1);
    offset = 1;
  }
  if (offset == 1) {
    uint64_t parent = Raw(inode);
    const std::optional<InodeId> kept = mount.filesystem.KeptName(inode, "..");
    if (inode == mount.filesystem.root()) {
      // Above it there is nothing, whatever part of the filesystem is mounted.
    } else if (kept && Raw(*kept) != 0) {
      parent = Raw(*kept);
    } else {
      auto up = co_await mount.filesystem.Lookup(inode, "..", client::Caller());
      if (up) parent = up->inode();  // else the directory has been removed: it has no parent
    }
    listing.Add(nullptr, "..", parent, S_IFDIR, kDotsEnd);
    offset = kDotsEnd;
  }
  // An entry takes 24 bytes and its name, padded to 8: no more than these can fit.
  const auto fit = static_cast<uint32_t>(std::max<size_t>(listing.left() / 32, 1));
  auto page = co_await mount.filesystem.ReadDirectory(inode, offset - kDotsEnd, fit, false);
  if (!page) {
    reply.Error(page.error());
    co_return;
  }
  for (const wire::Entry& entry : page->entries()) {
    if (!listing.Add(nullptr, entry.name(), entry.inode(), entry.mode(),
                     entry.cookie() + kDotsEnd)) {
      break;
    }
  }
  reply.Bytes(listing.bytes());
}
void ReadDirectory(fuse_req_t request, fuse_ino_t node, size_t size, off_t offset,
                   fuse_file_info*) {
  Begin(request, "readdir", ReadDirectoryAsync, MountOf(request).ToInode(node), size,
        static_cast<uint64_t>(offset));
}

asio::awaitable<void> FsyncDirectoryAsync(Mount& mount, Reply reply, InodeId inode) {
  const auto synced = co_await mount.filesystem.FsyncNames(inode);
  reply.Done(synced);
}
void FsyncDirectory(fuse_req_t request, fuse_ino_t node, int, fuse_file_info*) {
  Begin(request, "fsyncdir", FsyncDirectoryAsync, MountOf(request).ToInode(node));
}

}  // namespace

void AddDirectories(fuse_lowlevel_ops& operations) {
  operations.readdir = &ReadDirectory;
  operations.fsyncdir = &FsyncDirectory;
}

}  // namespace ringfs::fuse
