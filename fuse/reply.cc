#include "fuse/reply.h"

#include "fuse/lowlevel.h"
//
#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/statvfs.h>

#include <asio/awaitable.hpp>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <string>

#include "common/async.h"
#include "common/clock.h"
#include "common/log.h"
#include "fuse/convert.h"
#include "fuse/mount.h"

namespace ringfs::fuse {

struct Reply::State {
  Mount* mount = nullptr;
  fuse_req* request = nullptr;
  const char* name = "";
  std::string entry;
  uint64_t node = 0;
  uint32_t kind = 0;
  size_t bytes = 0;
  int64_t began_ns = 0;
  int32_t thread = 0;
  bool answered = false;
  bool watched = false;
  bool has_interrupt = false;
  client::Interrupt interrupt;
  std::weak_ptr<State> self;

  void End(bool failed, size_t bytes_out) {
    answered = true;
    mount->calls.Ended(kind, failed, bytes, bytes_out, SystemClock().MonotonicNs() - began_ns);
  }
};

namespace {

constexpr int64_t kKilledPollMs = 200;

// Whether a SIGKILL, sent or made of another deadly signal by the kernel, waits for the thread, or
// the thread is gone.
bool IsDying(int32_t thread) {
  std::ifstream status("/proc/" + std::to_string(thread) + "/status");
  if (!status) return true;
  std::string line;
  while (std::getline(status, line)) {
    if (!line.starts_with("SigPnd:") && !line.starts_with("ShdPnd:")) continue;
    if ((std::stoull(line.substr(7), nullptr, 16) & (1ull << (SIGKILL - 1))) != 0) return true;
  }
  return false;
}

}  // namespace

Reply::Reply(Mount& mount, fuse_req* request, const char* name, std::string entry)
    : state_(std::make_shared<State>()) {
  state_->mount = &mount;
  state_->entry = std::move(entry);
  const RequestSubject subject = mount.Subject();
  state_->node = subject.node;
  state_->kind = subject.kind;
  state_->bytes = subject.bytes;
  state_->began_ns = SystemClock().MonotonicNs();
  mount.calls.Begun();
  state_->request = request;
  state_->name = name;
  state_->thread = fuse_req_ctx(request)->pid;
  state_->self = state_;
  // The kernel says only once that signals have come, and not which: from then on the caller is
  // looked at, since a deadly one may follow a harmless one.
  struct Watch {
    static asio::awaitable<void> Run(std::shared_ptr<State> state) {
      while (!state->answered) {
        if (IsDying(state->thread)) {
          state->End(true, 0);
          fuse_reply_err(state->request, EINTR);
          co_return;
        }
        co_await SleepMs(kKilledPollMs);
      }
    }
    static void Interrupted(fuse_req*, void* data) {
      auto state = static_cast<State*>(data)->self.lock();
      if (!state || state->answered || state->watched) return;
      state->watched = true;
      if (state->has_interrupt) state->interrupt.Raise();
      Spawn(state->mount->executor, Run(state), "watch for killed callers");
    }
  };
  fuse_req_interrupt_func(request, &Watch::Interrupted, state_.get());
}

Reply::~Reply() {
  if (!state_ || state_->answered) return;
  spdlog::error("{}: a request was left without an answer", state_->name);
  Remember(ringfs::Error{Errc::kIo, "the request was left without an answer", {}});
  Errno(EIO);
}

void Reply::InterruptWith(client::Interrupt interrupt) {
  state_->has_interrupt = true;
  state_->interrupt = std::move(interrupt);
  if (fuse_req_interrupted(state_->request)) state_->interrupt.Raise();
}

fuse_req* Reply::Take(bool failed, size_t bytes) {
  if (state_->answered) return nullptr;
  state_->End(failed, bytes);
  return state_->request;
}

void Reply::Errno(int number) {
  if (fuse_req* request = Take(number != 0)) fuse_reply_err(request, number);
}

void Reply::Ok() { Errno(0); }

void Reply::Error(const ringfs::Error& error) {
  const int number = ToErrno(error.code);
  if (number == EIO || number == ETIMEDOUT) {
    spdlog::warn("{}: {} ({})", state_->name, error.ToString(),
                 number == EIO ? "EIO" : "ETIMEDOUT");
  }
  Remember(error);
  Errno(number);
}

void Reply::Found(uint64_t inode) {
  state_->mount->paths.Learn(state_->node, state_->entry, inode);
}

void Reply::Remember(const ringfs::Error& error) {
  if (state_->answered || !ErrorBook::Keeps(error.code)) return;
  FailedCall call;
  call.operation = state_->name;
  call.inode = Raw(state_->mount->ToInode(state_->node));
  call.path = state_->mount->paths.PathOf(state_->node);
  if (call.operation.ends_with("xattr")) {
    if (!state_->entry.empty()) call.operation += " " + Printable(state_->entry);
  } else if (!state_->entry.empty()) {
    if (!call.path.ends_with('/')) call.path += '/';
    call.path += Printable(state_->entry);
    call.inode = 0;  // of the name; that of the folder would mislead
  }
  call.pid = state_->thread;
  call.now_ns = SystemClock().WallNs();
  state_->mount->errors.Add(std::move(call), error);
}

void Reply::Done(const Result<void>& result) {
  if (result) {
    Ok();
  } else {
    Error(result.error());
  }
}

bool Reply::Entry(const fuse_entry_param& entry) {
  Found(entry.ino);
  fuse_req* request = Take();
  return request != nullptr && fuse_reply_entry(request, &entry) == 0;
}

bool Reply::Created(const fuse_entry_param& entry, const fuse_file_info& file) {
  Found(entry.ino);
  fuse_req* request = Take();
  return request != nullptr && fuse_reply_create(request, &entry, &file) == 0;
}

bool Reply::Opened(const fuse_file_info& file) {
  fuse_req* request = Take();
  if (request == nullptr) return false;
  if (!file.direct_io) return fuse_reply_open(request, &file) == 0;
  // libfuse 3.14 cannot say it: writes to different places of the file need not wait for each other.
  fuse_open_out opened{};
  opened.fh = file.fh;
  opened.open_flags = FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES;
  const auto* bytes = reinterpret_cast<const char*>(&opened);
  return fuse_reply_buf(request, bytes, sizeof(opened)) == 0;
}

void Reply::Attributes(const struct stat& stat, double timeout_s) {
  if (fuse_req* request = Take()) fuse_reply_attr(request, &stat, timeout_s);
}

void Reply::Link(const std::string& target) {
  if (fuse_req* request = Take()) fuse_reply_readlink(request, target.c_str());
}

void Reply::Bytes(std::span<const char> bytes) {
  if (fuse_req* request = Take(false, bytes.size())) {
    fuse_reply_buf(request, bytes.data(), bytes.size());
  }
}

void Reply::Pieces(const std::vector<Buffer>& pieces) {
  size_t bytes = 0;
  for (const Buffer& piece : pieces) bytes += piece.size();
  fuse_req* request = Take(false, bytes);
  if (request == nullptr) return;
  std::vector<iovec> vectors;
  vectors.reserve(pieces.size());
  for (const Buffer& piece : pieces) vectors.push_back({piece.data(), piece.size()});
  fuse_reply_iov(request, vectors.data(), static_cast<int>(vectors.size()));
}

void Reply::Written(size_t size) {
  if (fuse_req* request = Take()) fuse_reply_write(request, size);
}

void Reply::XattrSize(size_t size) {
  if (fuse_req* request = Take()) fuse_reply_xattr(request, size);
}

void Reply::StatFs(const wire::StatFsReply& stat) {
  fuse_req* request = Take();
  if (request == nullptr) return;
  struct statvfs out {};
  out.f_bsize = kStatBlockSize;
  out.f_frsize = kStatBlockSize;
  out.f_blocks = stat.capacity_bytes() / kStatBlockSize;
  out.f_bfree = stat.free_bytes() / kStatBlockSize;
  out.f_bavail = out.f_bfree;
  out.f_files = stat.files() + stat.files_free();
  out.f_ffree = stat.files_free();
  out.f_favail = stat.files_free();
  out.f_namemax = 255;
  fuse_reply_statfs(request, &out);
}

void Reply::Lock(const struct ::flock& lock) {
  if (fuse_req* request = Take()) fuse_reply_lock(request, &lock);
}

void Reply::Offset(int64_t offset) {
  if (fuse_req* request = Take()) fuse_reply_lseek(request, offset);
}

}  // namespace ringfs::fuse
