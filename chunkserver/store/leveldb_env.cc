#include "chunkserver/store/leveldb_env.h"

#include <array>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "chunkserver/store/coding.h"

namespace ringfs::chunkserver {
namespace {

constexpr size_t kFileBufferBytes = 64 << 10;

leveldb::Status ToStatus(const Error& error) {
  if (error.code == Errc::kNotFound) {
    return leveldb::Status::NotFound(error.detail);
  }
  return leveldb::Status::IOError(error.ToString());
}

leveldb::Status ToStatus(const Result<void>& result) {
  return result ? leveldb::Status::OK() : ToStatus(result.error());
}

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

std::span<std::byte> Scratch(char* scratch, size_t n) {
  return {reinterpret_cast<std::byte*>(scratch), n};
}

class Sequential final : public leveldb::SequentialFile {
 public:
  explicit Sequential(std::unique_ptr<DiskFile> file) : file_(std::move(file)) {}

  leveldb::Status Read(size_t n, leveldb::Slice* result, char* scratch) override {
    const Result<size_t> size = file_->Read(offset_, Scratch(scratch, n));
    if (!size) {
      return ToStatus(size.error());
    }
    offset_ += *size;
    *result = leveldb::Slice(scratch, *size);
    return leveldb::Status::OK();
  }
  leveldb::Status Skip(uint64_t n) override {
    offset_ += n;
    return leveldb::Status::OK();
  }

 private:
  std::unique_ptr<DiskFile> file_;
  uint64_t offset_ = 0;
};

class RandomAccess final : public leveldb::RandomAccessFile {
 public:
  explicit RandomAccess(std::unique_ptr<DiskFile> file) : file_(std::move(file)) {}

  leveldb::Status Read(uint64_t offset, size_t n, leveldb::Slice* result,
                       char* scratch) const override {
    const Result<size_t> size = file_->Read(offset, Scratch(scratch, n));
    if (!size) {
      *result = leveldb::Slice();
      return ToStatus(size.error());
    }
    *result = leveldb::Slice(scratch, *size);
    return leveldb::Status::OK();
  }

 private:
  std::unique_ptr<DiskFile> file_;
};

class Writable final : public leveldb::WritableFile {
 public:
  Writable(Disk& disk, std::unique_ptr<DiskFile> file, std::string folder, uint64_t offset)
      : disk_(disk), file_(std::move(file)), folder_(std::move(folder)), offset_(offset) {}

  leveldb::Status Append(const leveldb::Slice& data) override {
    buffered_.append(data.data(), data.size());
    return buffered_.size() < kFileBufferBytes ? leveldb::Status::OK() : Flush();
  }
  leveldb::Status Close() override { return Flush(); }
  leveldb::Status Flush() override {
    if (buffered_.empty()) {
      return leveldb::Status::OK();
    }
    const std::array pieces{AsBytes(buffered_)};
    const Result<void> written = file_->Write(offset_, pieces);
    if (written) {
      offset_ += buffered_.size();
      buffered_.clear();
    }
    return ToStatus(written);
  }
  leveldb::Status Sync() override {
    if (leveldb::Status flushed = Flush(); !flushed.ok()) {
      return flushed;
    }
    if (!folder_synced_) {
      if (const Result<void> synced = disk_.SyncFolder(folder_); !synced) {
        return ToStatus(synced);
      }
      folder_synced_ = true;
    }
    return ToStatus(file_->Sync());
  }

 private:
  Disk& disk_;
  std::unique_ptr<DiskFile> file_;
  std::string folder_;
  std::string buffered_;
  uint64_t offset_;
  bool folder_synced_ = false;
};

class NoLock final : public leveldb::FileLock {};

class NoLogger final : public leveldb::Logger {
 public:
  void Logv(const char*, std::va_list) override {}
};

class DiskEnv final : public leveldb::EnvWrapper {
 public:
  explicit DiskEnv(Disk& disk) : EnvWrapper(leveldb::Env::Default()), disk_(disk) {}

  leveldb::Status NewSequentialFile(const std::string& path,
                                    leveldb::SequentialFile** result) override {
    return Open<Sequential>(path, result);
  }
  leveldb::Status NewRandomAccessFile(const std::string& path,
                                      leveldb::RandomAccessFile** result) override {
    return Open<RandomAccess>(path, result);
  }
  leveldb::Status NewWritableFile(const std::string& path,
                                  leveldb::WritableFile** result) override {
    return OpenWritable(path, OpenMode::kTruncate, result);
  }
  leveldb::Status NewAppendableFile(const std::string& path,
                                    leveldb::WritableFile** result) override {
    return OpenWritable(path, OpenMode::kCreate, result);
  }
  bool FileExists(const std::string& path) override {
    const Result<bool> exists = disk_.Exists(path);
    return exists && *exists;
  }
  leveldb::Status GetChildren(const std::string& folder,
                              std::vector<std::string>* result) override {
    Result<std::vector<std::string>> names = disk_.List(folder);
    if (!names) {
      return ToStatus(names.error());
    }
    *result = std::move(*names);
    return leveldb::Status::OK();
  }
  leveldb::Status RemoveFile(const std::string& path) override {
    return ToStatus(disk_.Remove(path));
  }
  leveldb::Status CreateDir(const std::string& folder) override {
    return ToStatus(disk_.MakeFolder(folder));
  }
  leveldb::Status RemoveDir(const std::string&) override {
    return leveldb::Status::NotSupported("folders stay");
  }
  leveldb::Status GetFileSize(const std::string& path, uint64_t* size) override {
    const Result<std::unique_ptr<DiskFile>> file = disk_.Open(path, OpenMode::kRead);
    if (!file) {
      return ToStatus(file.error());
    }
    const Result<uint64_t> found = (*file)->Size();
    if (!found) {
      return ToStatus(found.error());
    }
    *size = *found;
    return leveldb::Status::OK();
  }
  leveldb::Status RenameFile(const std::string& from, const std::string& to) override {
    if (const Result<void> renamed = disk_.Rename(from, to); !renamed) {
      return ToStatus(renamed);
    }
    return ToStatus(disk_.SyncFolder(FolderOf(to)));
  }
  leveldb::Status LockFile(const std::string&, leveldb::FileLock** lock) override {
    *lock = new NoLock;
    return leveldb::Status::OK();
  }
  leveldb::Status UnlockFile(leveldb::FileLock* lock) override {
    delete lock;
    return leveldb::Status::OK();
  }
  leveldb::Status NewLogger(const std::string&, leveldb::Logger** logger) override {
    *logger = new NoLogger;
    return leveldb::Status::OK();
  }

 private:
  template <typename File, typename Interface>
  leveldb::Status Open(const std::string& path, Interface** result) {
    Result<std::unique_ptr<DiskFile>> file = disk_.Open(path, OpenMode::kRead);
    if (!file) {
      *result = nullptr;
      return ToStatus(file.error());
    }
    *result = new File(std::move(*file));
    return leveldb::Status::OK();
  }
  leveldb::Status OpenWritable(const std::string& path, OpenMode mode,
                               leveldb::WritableFile** result) {
    *result = nullptr;
    Result<std::unique_ptr<DiskFile>> file = disk_.Open(path, mode);
    if (!file) {
      return ToStatus(file.error());
    }
    const Result<uint64_t> size = (*file)->Size();
    if (!size) {
      return ToStatus(size.error());
    }
    *result = new Writable(disk_, std::move(*file), FolderOf(path), *size);
    return leveldb::Status::OK();
  }

  Disk& disk_;
};

}  // namespace

std::unique_ptr<leveldb::Env> MakeLevelDbEnv(Disk& disk) { return std::make_unique<DiskEnv>(disk); }

}  // namespace ringfs::chunkserver
