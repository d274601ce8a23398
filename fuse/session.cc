#include "fuse/session.h"

#include "fuse/lowlevel.h"
//
#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "common/async.h"
#include "common/check.h"
#include "common/log.h"
#include "fuse/handlers.h"
#include "fuse/mount.h"
#include "fuse/wire_init.h"

namespace ringfs::fuse {
namespace {

// The largest request: 1 MiB of data and its header, as libfuse 3.14 computes its own buffer
// (FUSE_MAX_MAX_PAGES pages and FUSE_BUFFER_HEADER_SIZE).
constexpr size_t kReceiveBytes = (256 + 1) * 4096;
// Of the kernel's protocol, which first has FUSE_NOTIFY_INC_EPOCH.
constexpr unsigned kEpochMinor = 44;
// Requests handed out before other work of the thread gets its turn.
constexpr int kRequestsARound = 16;

void Init(void* data, fuse_conn_info* connection) {
  const Mount& mount = *static_cast<Mount*>(data);
  connection->max_write = 1 << 20;
  connection->max_readahead = 1 << 20;
  connection->max_background = 64;
  connection->congestion_threshold = 48;
  connection->time_gran = 1;
  // Under leases pages are right until we say otherwise, and our own writes leave them so.
  const unsigned pages =
      mount.caching ? FUSE_CAP_EXPLICIT_INVAL_DATA : FUSE_CAP_AUTO_INVAL_DATA;
  const unsigned wanted = pages | FUSE_CAP_ASYNC_READ | FUSE_CAP_ASYNC_DIO | FUSE_CAP_ATOMIC_O_TRUNC |
                          FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_POSIX_LOCKS | FUSE_CAP_FLOCK_LOCKS |
                          FUSE_CAP_POSIX_ACL | FUSE_CAP_DONT_MASK | FUSE_CAP_CACHE_SYMLINKS |
                          FUSE_CAP_EXPORT_SUPPORT;
  // What the kernel lacks of it, it has not asked for (libfuse asks for more by itself).
  connection->want = wanted & connection->capable;
  mount.session->Initialized(*connection);
}

}  // namespace

Session::Session(asio::any_io_executor executor) : executor_(executor), device_(executor) {}

Result<std::unique_ptr<Session>> Session::Start(asio::any_io_executor executor, Mount& mount,
                                                const std::string& mountpoint,
                                                const std::vector<std::string>& options) {
  std::unique_ptr<Session> session(new Session(std::move(executor)));
  session->mount_ = &mount;
  session->mountpoint_ = mountpoint;

  std::string joined;
  for (const std::string& option : options) joined += (joined.empty() ? "" : ",") + option;
  std::string program = "ringfs-mount";
  std::string flag = "-o";
  char* arguments[] = {program.data(), flag.data(), joined.data(), nullptr};
  fuse_args args = FUSE_ARGS_INIT(joined.empty() ? 1 : 3, arguments);

  fuse_lowlevel_ops operations = Operations();
  operations.init = &Init;
  session->session_ = fuse_session_new(&args, &operations, sizeof(operations), &mount);
  fuse_opt_free_args(&args);
  if (session->session_ == nullptr) return Fail(Errc::kInvalid, "mount options: " + joined);
  if (fuse_session_mount(session->session_, mountpoint.c_str()) != 0) {
    return Fail(Errc::kIo, "cannot mount at " + mountpoint);
  }
  session->mounted_ = true;
  mount.session = session.get();

  const int fd = fuse_session_fd(session->session_);
  fuse_custom_io io{};
  io.read = &Session::Read;
  io.writev = &Session::Write;
  if (fuse_session_custom_io(session->session_, &io, fd) != 0) {
    return Fail(Errc::kIo, "libfuse takes no custom I/O");
  }
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  session->device_.assign(fd);
  return session;
}

Session::~Session() {
  if (device_.is_open()) device_.release();  // libfuse closes it, which ends the connection
  if (session_ != nullptr) fuse_session_destroy(session_);
  if (mounted_ && umount2(mountpoint_.c_str(), MNT_DETACH) != 0) {
    spdlog::warn("cannot unmount {}: {}", mountpoint_, std::strerror(errno));
  }
}

asio::awaitable<void> Session::Unmount() {
  if (!mounted_) co_return;
  mounted_ = false;
  auto detach = [this] { return umount2(mountpoint_.c_str(), MNT_DETACH) == 0 ? 0 : errno; };
  const int error = co_await RunOn(helper_, std::move(detach));
  if (error != 0) spdlog::warn("cannot unmount {}: {}", mountpoint_, std::strerror(error));
}

// libfuse hands its user data, the Mount, to both.
ssize_t Session::Read(int fd, void* buffer, size_t size, void*) { return read(fd, buffer, size); }

ssize_t Session::Write(int fd, struct iovec* pieces, int count, void* data) {
  Session* session = static_cast<Mount*>(data)->session;
  if (session != nullptr && session->offered_ != 0) {
    CompleteInit({pieces, static_cast<size_t>(count)}, session->offered_);
    session->offered_ = 0;
  }
  return writev(fd, pieces, count);
}

void Session::Initialized(const fuse_conn_info& connection) {
  if (!mount_->caching) return;
  const bool explicit_pages = (connection.capable & FUSE_CAP_EXPLICIT_INVAL_DATA) != 0;
  RINGFS_CHECK(explicit_pages);  // kernel 5.2
  const bool with_epoch = connection.proto_minor >= kEpochMinor;
  if (!with_epoch) spdlog::info("this kernel knows no epochs (6.16): it keeps no names");
  mount_->kernel.Attach(fuse_session_fd(session_), Raw(mount_->filesystem.root()), with_epoch);
}

bool Session::ServeSome(bool* more) {
  *more = true;
  for (int i = 0; i < kRequestsARound; ++i) {
    if (receive_.empty()) receive_ = Buffer::Allocate(kReceiveBytes);
    fuse_buf buffer{};
    buffer.mem = receive_.data();
    buffer.size = receive_.size();
    const int got = fuse_session_receive_buf(session_, &buffer);
    if (got == -EAGAIN || got == -EINTR) {
      *more = got == -EINTR;
      return true;
    }
    if (got <= 0) return false;  // unmounted
    request_ = receive_.Slice(0, buffer.size);
    offered_ = OfferedFlags(request_.bytes());
    fuse_session_process_buf(session_, &buffer);
    if (mount_->TakeRequestKept()) receive_ = Buffer();
    request_ = Buffer();
    if (fuse_session_exited(session_)) return false;
  }
  return true;
}

asio::awaitable<void> Session::Serve() {
  while (true) {
    bool more = false;
    if (!ServeSome(&more)) break;
    if (more) {
      co_await asio::post(executor_, asio::use_awaitable);
      continue;
    }
    auto [error] = co_await device_.async_wait(asio::posix::stream_descriptor::wait_read, kNoThrow);
    if (error) break;
  }
  mounted_ = false;
  mount_->kernel.Detach();
}

}  // namespace ringfs::fuse
