#include "client/kept_changes.h"

#include <fmt/format.h>

#include <utility>

#include "client/meta_kind.h"
#include "common/log.h"

namespace ringfs::client {
namespace {

// All of them go into one message when they are said again.
constexpr size_t kMostChanges = 1024;
constexpr size_t kMostBytes = 1 << 20;
constexpr size_t kMostBytesOfOne = 16 << 10;
constexpr size_t kDescribed = 8;

bool IsHarmless(const wire::MetaRequest& request) {
  switch (request.operation_case()) {
    // Blocks are cut as soon as it is answered.
    case wire::MetaRequest::kSetAttributes:
      return !request.set_attributes().has_size();
    case wire::MetaRequest::kCreate:
    case wire::MetaRequest::kMakeNode:
    case wire::MetaRequest::kLink:
    case wire::MetaRequest::kUnlink:
    case wire::MetaRequest::kRemoveDirectory:
    case wire::MetaRequest::kRename:
    case wire::MetaRequest::kSetXattr:
    case wire::MetaRequest::kRemoveXattr:
    case wire::MetaRequest::kOpen:
    case wire::MetaRequest::kExtend:
    case wire::MetaRequest::kSetLock:
    case wire::MetaRequest::kReleaseLocks:
    case wire::MetaRequest::kClose:
      return true;
    default:
      return false;
  }
}

// The name that a change is about, if there is one.
std::string NameIn(const wire::MetaRequest& request) {
  switch (request.operation_case()) {
    case wire::MetaRequest::kCreate:
      return request.create().name();
    case wire::MetaRequest::kMakeNode:
      return request.make_node().name();
    case wire::MetaRequest::kLink:
      return request.link().name();
    case wire::MetaRequest::kUnlink:
      return request.unlink().name();
    case wire::MetaRequest::kRemoveDirectory:
      return request.remove_directory().name();
    case wire::MetaRequest::kRename:
      return request.rename().new_name();
    default:
      return "";
  }
}

}  // namespace

bool KeptChanges::MayKeep(const wire::MetaRequest& request) const {
  if (!IsHarmless(request) || kept_.size() >= kMostChanges || bytes_ >= kMostBytes) return false;
  return request.ByteSizeLong() <= kMostBytesOfOne;
}

void KeptChanges::Keep(wire::MetaRequest request, const wire::MetaReply& reply) {
  request.set_keeps(false);
  wire::Again& again = *request.mutable_again();
  again.set_time_ns(reply.made_ns());
  if (reply.created()) again.set_inode(reply.attributes().inode());
  again.set_data(reply.attributes().data());
  const size_t bytes = request.ByteSizeLong();
  bytes_ += bytes;
  kept_.push_back(Kept{reply.unflushed(), bytes, std::move(request)});
}

void KeptChanges::Flushed(uint64_t number) {
  while (!kept_.empty() && kept_.front().number <= number) {
    bytes_ -= kept_.front().bytes;
    kept_.pop_front();
  }
}

void KeptChanges::Clear() {
  kept_.clear();
  bytes_ = 0;
}

void KeptChanges::SayAgain(wire::OpenSessionRequest& request) const {
  for (const Kept& kept : kept_) *request.add_again() = kept.request;
}

std::string KeptChanges::Describe() const {
  std::string text;
  for (size_t i = 0; i < kept_.size() && i < kDescribed; ++i) {
    const wire::MetaRequest& request = kept_[i].request;
    text += fmt::format("{}{} {}", i == 0 ? "" : ", ", OperationName(request),
                        Printable(NameIn(request)));
  }
  return kept_.size() > kDescribed ? text + ", ..." : text;
}

}  // namespace ringfs::client
