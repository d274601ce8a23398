#include "client/meta_kind.h"

namespace ringfs::client {

MetaKind KindOf(const wire::MetaRequest& request) {
  switch (request.operation_case()) {
    case wire::MetaRequest::kLookup:
    case wire::MetaRequest::kGetAttributes:
    case wire::MetaRequest::kReadLink:
    case wire::MetaRequest::kReadDirectory:
    case wire::MetaRequest::kGetXattr:
    case wire::MetaRequest::kListXattrs:
    case wire::MetaRequest::kStatFs:
    case wire::MetaRequest::kTestLock:
    case wire::MetaRequest::kGetPath:
    case wire::MetaRequest::OPERATION_NOT_SET:
      return MetaKind::kQuery;
    // Of this session's own state: means nothing in another one.
    case wire::MetaRequest::kLockStatus:
    case wire::MetaRequest::kBeginAppend:
    case wire::MetaRequest::kAbortAppend:
    case wire::MetaRequest::kFlushNames:
      return MetaKind::kMemory;
    case wire::MetaRequest::kOpen:
      return request.open().truncate() ? MetaKind::kChange : MetaKind::kMemory;
    // The master makes it a change when locks were taken through the handle.
    case wire::MetaRequest::kClose:
      return request.close().handle() != 0 ? MetaKind::kEnding : MetaKind::kMemory;
    // What is handed over others wait for.
    case wire::MetaRequest::kSetLock:
      return request.set_lock().type() == wire::LOCK_UNLOCK || request.set_lock().hand_over()
                 ? MetaKind::kEnding
                 : MetaKind::kChange;
    case wire::MetaRequest::kCutDone:
    case wire::MetaRequest::kCancelLock:
    case wire::MetaRequest::kReleaseLocks:
      return MetaKind::kEnding;
    case wire::MetaRequest::kSetAttributes:
    case wire::MetaRequest::kCreate:
    case wire::MetaRequest::kMakeNode:
    case wire::MetaRequest::kLink:
    case wire::MetaRequest::kUnlink:
    case wire::MetaRequest::kRemoveDirectory:
    case wire::MetaRequest::kRename:
    case wire::MetaRequest::kSetXattr:
    case wire::MetaRequest::kRemoveXattr:
    case wire::MetaRequest::kExtend:
    case wire::MetaRequest::kClaimCut:
      return MetaKind::kChange;
  }
  return MetaKind::kChange;
}

std::string_view OperationName(const wire::MetaRequest& request) {
  const auto* field = wire::MetaRequest::descriptor()->FindFieldByNumber(
      static_cast<int>(request.operation_case()));
  return field ? std::string_view(field->name()) : "nothing";
}

}  // namespace ringfs::client
