#pragma once

#include <string_view>

namespace ringfs {

// What can go wrong, on the wire (proto/error.proto, equal numbers) and between our own functions.
enum class Errc : int {
  kOk = 0,               // only on the wire; a Result with an error never holds it
  kNotPermitted = 1,     // EPERM: the caller is not the owner or not root
  kNotFound = 2,         // ENOENT: no such name, inode, block or record
  kInterrupted = 3,      // EINTR: a signal ended the wait
  kIo = 4,               // EIO: a device failed; never for a network that is slow
  kBadDescriptor = 5,    // EBADF
  kWouldBlock = 6,       // EAGAIN: a lock is held by another and the caller does not wait
  kNoMemory = 7,         // ENOMEM: a bound of memory is reached
  kAccess = 8,           // EACCES: the permission bits or ACL say no
  kBusy = 9,             // EBUSY
  kExists = 10,          // EEXIST
  kCrossDevice = 11,     // EXDEV
  kNotDirectory = 12,    // ENOTDIR
  kIsDirectory = 13,     // EISDIR
  kInvalid = 14,         // EINVAL: the caller's argument is wrong
  kFileTooLarge = 15,    // EFBIG
  kNoSpace = 16,         // ENOSPC
  kReadOnly = 17,        // EROFS
  kTooManyLinks = 18,    // EMLINK
  kDeadlock = 19,        // EDEADLK
  kNameTooLong = 20,     // ENAMETOOLONG
  kNoLocks = 21,         // ENOLCK
  kNotSupported = 22,    // EOPNOTSUPP
  kNotEmpty = 23,        // ENOTEMPTY
  kLoop = 24,            // ELOOP
  kNoAttribute = 25,     // ENODATA: no such extended attribute
  kRange = 26,           // ERANGE: the caller's buffer is too small
  kTooBig = 27,          // E2BIG
  kQuota = 28,           // EDQUOT
  kStale = 29,           // ESTALE: the inode is gone
  kNoDevice = 30,        // ENXIO: SEEK_DATA or SEEK_HOLE beyond the end
  kTimedOut = 100,       // the deadline has passed; whether the request was applied is not known
  kUnavailable = 101,    // not connected, shutting down, or a bounded queue is full; may be retried
  kCorrupted = 102,      // bytes from disk or network that do not match their checksum or format
  kProtocol = 103,       // the peer sent what the protocol does not allow; the connection ends
  kVersion = 104,        // a peer or stored data of a version not known here
  kStaleEpoch = 105,     // the bucket version asked with is not current: fetch the map, retry
  kNotHead = 106,        // a write reached a member that is not the head: fetch the map, retry
  kNotServing = 107,     // the bucket is not served here now: fetch the map, retry
  kVersionMismatch = 108,  // between head and member: the member's block has another version
  kFenced = 109,         // the session has expired; never retried
  kWrongCluster = 110,   // a peer or a data directory of another cluster
  kNoServers = 111,      // the pool has fewer servers than it needs
  kCancelled = 112,      // the caller gave up
  kUncommitted = 113,    // the block has a version in flight: only the head can answer
};

// The errno that an application sees.
int ToErrno(Errc code);

// The name of the code, as in this enum without the k: "NotFound".
std::string_view Name(Errc code);

// A number from the wire; one that is not in the list (a newer peer) becomes kProtocol.
Errc ErrcFromWire(int number);

// The code for an errno of the operating system; one that is not in the list becomes kIo.
Errc ErrcFromErrno(int number);

}  // namespace ringfs
