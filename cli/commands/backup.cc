#include <fmt/format.h>

#include <optional>

#include "cli/commands/commands.h"
#include "cli/format.h"
#include "cli/json.h"
#include "common/backup_file.h"
#include "common/log.h"

namespace ringfs::cli {

Result<std::string> Backup(Master& master, const std::string& file, Output output) {
  std::optional<BackupWriter> writer;
  wire::BackupRequest request;
  uint64_t records = 0;
  for (uint64_t chunk = 0;; ++chunk) {
    request.set_chunk(chunk);
    const auto reply = master.Ask<wire::BackupReply>(wire::MASTER_BACKUP, request);
    if (!reply) return Fail(reply.error());
    if (!writer) {
      Result<BackupWriter> created = BackupWriter::Create(file, reply->header());
      if (!created) return Fail(created.error());
      writer.emplace(*std::move(created));
      request.set_backup(reply->backup());
    }
    if (reply->records().empty()) break;
    const Result<void> added = writer->Add(reply->records(), reply->crc32c());
    if (!added) return Fail(added.error());
    wire::BackupRecords parsed;
    if (parsed.ParseFromString(reply->records())) records += parsed.records_size();
  }
  const Result<void> finished = writer->Finish();
  if (!finished) return Fail(finished.error());
  if (output == Output::kJson) {
    return ToText(Json{{"file", file}, {"records", records}, {"bytes", writer->bytes()}});
  }
  return fmt::format("{}: {}, {}\n", Printable(file), Count(records, "record"),
                     Bytes(writer->bytes()));
}

}  // namespace ringfs::cli
