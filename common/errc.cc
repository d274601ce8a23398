#include "common/errc.h"

#include <cerrno>

namespace ringfs {
namespace {

struct Row {
  Errc code;
  std::string_view name;
  int number;  // errno
};

constexpr Row kRows[] = {
    {Errc::kOk, "Ok", 0},
    {Errc::kNotPermitted, "NotPermitted", EPERM},
    {Errc::kNotFound, "NotFound", ENOENT},
    {Errc::kInterrupted, "Interrupted", EINTR},
    {Errc::kIo, "Io", EIO},
    {Errc::kBadDescriptor, "BadDescriptor", EBADF},
    {Errc::kWouldBlock, "WouldBlock", EAGAIN},
    {Errc::kNoMemory, "NoMemory", ENOMEM},
    {Errc::kAccess, "Access", EACCES},
    {Errc::kBusy, "Busy", EBUSY},
    {Errc::kExists, "Exists", EEXIST},
    {Errc::kCrossDevice, "CrossDevice", EXDEV},
    {Errc::kNotDirectory, "NotDirectory", ENOTDIR},
    {Errc::kIsDirectory, "IsDirectory", EISDIR},
    {Errc::kInvalid, "Invalid", EINVAL},
    {Errc::kFileTooLarge, "FileTooLarge", EFBIG},
    {Errc::kNoSpace, "NoSpace", ENOSPC},
    {Errc::kReadOnly, "ReadOnly", EROFS},
    {Errc::kTooManyLinks, "TooManyLinks", EMLINK},
    {Errc::kDeadlock, "Deadlock", EDEADLK},
    {Errc::kNameTooLong, "NameTooLong", ENAMETOOLONG},
    {Errc::kNoLocks, "NoLocks", ENOLCK},
    {Errc::kNotSupported, "NotSupported", EOPNOTSUPP},
    {Errc::kNotEmpty, "NotEmpty", ENOTEMPTY},
    {Errc::kLoop, "Loop", ELOOP},
    {Errc::kNoAttribute, "NoAttribute", ENODATA},
    {Errc::kRange, "Range", ERANGE},
    {Errc::kTooBig, "TooBig", E2BIG},
    {Errc::kQuota, "Quota", EDQUOT},
    {Errc::kStale, "Stale", ESTALE},
    {Errc::kNoDevice, "NoDevice", ENXIO},
    // Ours, as the nearest that POSIX has. The log of the mount tells the whole story.
    {Errc::kTimedOut, "TimedOut", ETIMEDOUT},
    {Errc::kUnavailable, "Unavailable", EIO},
    {Errc::kCorrupted, "Corrupted", EIO},
    {Errc::kProtocol, "Protocol", EIO},
    {Errc::kVersion, "Version", EIO},
    {Errc::kStaleEpoch, "StaleEpoch", EIO},
    {Errc::kNotHead, "NotHead", EIO},
    {Errc::kNotServing, "NotServing", EIO},
    {Errc::kVersionMismatch, "VersionMismatch", EIO},
    {Errc::kFenced, "Fenced", EIO},
    {Errc::kWrongCluster, "WrongCluster", EIO},
    {Errc::kNoServers, "NoServers", EIO},
    {Errc::kCancelled, "Cancelled", EINTR},
    {Errc::kUncommitted, "Uncommitted", EIO},
};

const Row* Find(int number) {
  for (const Row& row : kRows) {
    if (static_cast<int>(row.code) == number) return &row;
  }
  return nullptr;
}

}  // namespace

int ToErrno(Errc code) {
  const Row* row = Find(static_cast<int>(code));
  return row != nullptr ? row->number : EIO;
}

std::string_view Name(Errc code) {
  const Row* row = Find(static_cast<int>(code));
  return row != nullptr ? row->name : "Unknown";
}

Errc ErrcFromWire(int number) {
  const Row* row = Find(number);
  return row != nullptr ? row->code : Errc::kProtocol;
}

Errc ErrcFromErrno(int number) {
  for (const Row& row : kRows) {
    if (row.number == number && row.code != Errc::kOk) return row.code;
  }
  return Errc::kIo;
}

}  // namespace ringfs
