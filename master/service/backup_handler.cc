#include "master/service/backup_handler.h"

#include <span>
#include <string>
#include <utility>

#include "common/async.h"
#include "common/crc32c.h"
#include "common/log.h"
#include "master/state/database.h"

namespace ringfs::master {
namespace {

constexpr size_t kCopiesMax = 2;
constexpr size_t kPartBytes = 1 << 20;
constexpr int64_t kIdleNs = 60 * kNsPerSecond;

}  // namespace

void BackupHandler::DropIdle() {
  const int64_t now_ns = clock_.MonotonicNs();
  std::erase_if(copies_, [&](const auto& each) {
    const bool idle = !each.second->reading && now_ns - each.second->asked_ns > kIdleNs;
    if (idle) spdlog::warn("backup {}: nobody asks for the rest of it; given up", each.first);
    return idle;
  });
}

asio::awaitable<Result<wire::BackupReply>> BackupHandler::Answer(wire::BackupRequest request) {
  wire::BackupReply reply;
  if (request.backup() == 0) {
    if (copies_.size() >= kCopiesMax) {
      co_return Fail(Errc::kBusy, "other backups are being taken; try again in a minute");
    }
    request.set_backup(++last_);
    copies_[last_] = std::make_shared<Copy>(state_.TakeSnapshot());
    wire::BackupHeader& header = *reply.mutable_header();
    header.set_cluster_id(state_.cluster_id());
    header.set_state_version(kFormatVersion);
    header.set_taken_ns(clock_.WallNs());
    header.set_master_version(RINGFS_VERSION);
  }
  const auto found = copies_.find(request.backup());
  if (found == copies_.end()) {
    co_return Fail(Errc::kNotFound, "the backup has been given up; take a new one");
  }
  const std::shared_ptr<Copy> copy = found->second;
  if (copy->reading || request.chunk() != copy->next_chunk) {
    co_return Fail(Errc::kInvalid, "not the next part of the backup");
  }
  copy->reading = true;
  auto read = [&copy] { return copy->state->Next(kPartBytes); };
  Result<std::string> records = co_await RunOn(reader_, std::move(read));
  copy->reading = false;
  copy->asked_ns = clock_.MonotonicNs();
  ++copy->next_chunk;
  if (!records || records->empty()) copies_.erase(request.backup());
  if (!records) co_return Fail(records.error());
  reply.set_backup(request.backup());
  reply.set_crc32c(Crc32c(std::as_bytes(std::span(records->data(), records->size()))));
  reply.set_records(*std::move(records));
  co_return reply;
}

}  // namespace ringfs::master
