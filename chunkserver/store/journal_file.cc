#include "chunkserver/store/journal_file.h"

#include <array>
#include <optional>
#include <span>
#include <utility>

#include "chunkserver/store/coding.h"
#include "common/crc32c.h"
#include "common/ids.h"

namespace ringfs::chunkserver {
namespace {

constexpr uint32_t kJournalMagic = 0x314a4652;  // "RFJ1"
constexpr size_t kCrcOffset = kFrameHeaderBytes - sizeof(uint32_t);
constexpr std::array<std::byte, kFrameAlignment> kPadding{};

uint64_t AlignUp(uint64_t size) {
  return (size + kFrameAlignment - 1) / kFrameAlignment * kFrameAlignment;
}

std::string EncodeHeader(const FrameHeader& header, std::string_view records) {
  std::string out;
  PutLittle(&out, kJournalMagic);
  PutLittle(&out, header.salt);
  PutLittle(&out, header.generation);
  PutLittle(&out, header.sequence);
  PutLittle(&out, header.synced);
  PutLittle(&out, header.previous);
  PutLittle(&out, header.records);
  PutLittle(&out, header.record_bytes);
  PutLittle(&out, header.data_units);
  out.resize(kCrcOffset);
  PutLittle(&out, Crc32c(AsBytes(records), Crc32c(AsBytes(out))));
  return out;
}

// A header, and the checksum it names; nothing unless it is of this generation (any, if none is
// given).
std::optional<std::pair<FrameHeader, uint32_t>> DecodeHeader(std::string_view bytes, uint64_t salt,
                                                             std::optional<uint64_t> generation) {
  Decoder in(bytes);
  const auto magic = in.Little<uint32_t>();
  FrameHeader header;
  header.salt = in.Little<uint64_t>();
  header.generation = in.Little<uint64_t>();
  header.sequence = in.Little<uint64_t>();
  header.synced = in.Little<uint64_t>();
  header.previous = in.Little<uint64_t>();
  header.records = in.Little<uint32_t>();
  header.record_bytes = in.Little<uint32_t>();
  header.data_units = in.Little<uint32_t>();
  in.Bytes(in.ok() ? in.left() - sizeof(uint32_t) : 0);
  const auto crc = in.Little<uint32_t>();
  if (!in.AtEnd() || magic != kJournalMagic || header.salt != salt ||
      (generation && header.generation != *generation)) {
    return std::nullopt;
  }
  return std::pair(header, crc);
}

struct Frame {
  FrameHeader header;
  std::string records;
  Buffer data;
};

// Reads what may be a frame at `offset`: nothing if it is not one, is damaged, or does not fit.
Result<std::optional<Frame>> ReadFrame(DiskFile& file, uint64_t offset, uint64_t file_size,
                                       uint64_t salt, std::optional<uint64_t> generation) {
  std::array<std::byte, kFrameHeaderBytes> head;
  const Result<size_t> size = file.Read(offset, head);
  if (!size) {
    return Fail(size.error());
  }
  const auto decoded = DecodeHeader(AsText(std::span(head).first(*size)), salt, generation);
  if (!decoded || decoded->first.End() > file_size - offset) {
    return std::optional<Frame>();
  }
  Frame frame;
  frame.header = decoded->first;
  frame.records.resize(frame.header.record_bytes);
  const Result<size_t> records =
      file.Read(offset + kFrameHeaderBytes, std::as_writable_bytes(std::span(frame.records)));
  if (!records) {
    return Fail(records.error());
  }
  const uint32_t crc = Crc32c(AsBytes(frame.records), Crc32c(std::span(head).first(kCrcOffset)));
  if (*records != frame.records.size() || crc != decoded->second) {
    return std::optional<Frame>();
  }
  const size_t data_bytes = size_t{frame.header.data_units} * kChecksumUnit;
  if (data_bytes > 0) {
    frame.data = Buffer::Allocate(data_bytes);
    const Result<size_t> data = file.Read(offset + frame.header.DataOffset(), frame.data.bytes());
    if (!data) {
      return Fail(data.error());
    }
    if (*data != data_bytes) {
      return std::optional<Frame>();
    }
  }
  return std::optional<Frame>(std::move(frame));
}

Result<void> VisitRecords(const Frame& frame, bool check_only, const RecordVisitor& visit) {
  Decoder in(frame.records);
  uint32_t unit = 0;
  for (uint32_t i = 0; i < frame.header.records; ++i) {
    const std::string_view record = in.Bytes(in.Little<uint32_t>());
    if (!in.ok()) {
      return Fail(Errc::kCorrupted, "a journal frame whose records do not fit");
    }
    const size_t begin = size_t{unit} * kChecksumUnit;
    const Result<uint32_t> units =
        visit(record, frame.data.Slice(begin, frame.data.size() - begin), check_only);
    if (!units) {
      return Fail(units.error());
    }
    unit += *units;
  }
  if (!in.AtEnd() || unit != frame.header.data_units) {
    return Fail(Errc::kCorrupted, "a journal frame whose data does not fit its records");
  }
  return {};
}

// Whether a frame behind `offset` says that frame `sequence` was durable.
Result<bool> WasDurable(DiskFile& file, uint64_t offset, uint64_t file_size, uint64_t salt,
                        uint64_t generation, uint64_t sequence) {
  for (; offset + kFrameHeaderBytes <= file_size; offset += kFrameAlignment) {
    const Result<std::optional<Frame>> frame = ReadFrame(file, offset, file_size, salt, generation);
    if (!frame) {
      return Fail(frame.error());
    }
    if (*frame && (*frame)->header.synced > sequence) {
      return true;
    }
  }
  return false;
}

}  // namespace

uint64_t FrameHeader::DataOffset() const {
  return AlignUp(uint64_t{kFrameHeaderBytes} + record_bytes);
}

uint64_t FrameHeader::End() const { return DataOffset() + uint64_t{data_units} * kChecksumUnit; }

Result<void> WriteFrame(DiskFile& file, uint64_t offset, FrameHeader* header,
                        const std::vector<JournalRecord>& records) {
  std::string bytes;
  uint64_t data_bytes = 0;
  for (const JournalRecord& record : records) {
    PutLittle(&bytes, static_cast<uint32_t>(record.bytes.size()));
    bytes += record.bytes;
    for (const Buffer& buffer : record.data) {
      data_bytes += buffer.size();
    }
  }
  header->records = static_cast<uint32_t>(records.size());
  header->record_bytes = static_cast<uint32_t>(bytes.size());
  header->data_units = static_cast<uint32_t>(data_bytes / kChecksumUnit);
  const std::string head = EncodeHeader(*header, bytes);
  std::vector<std::span<const std::byte>> pieces{AsBytes(head), AsBytes(bytes)};
  pieces.push_back(
      std::span(kPadding).first(header->DataOffset() - kFrameHeaderBytes - bytes.size()));
  for (const JournalRecord& record : records) {
    for (const Buffer& buffer : record.data) {
      pieces.push_back(buffer.bytes());
    }
  }
  return file.Write(offset, pieces);
}

Result<std::optional<FrameHeader>> FirstHeader(DiskFile& file, uint64_t salt) {
  const Result<uint64_t> size = file.Size();
  if (!size) {
    return Fail(size.error());
  }
  const Result<std::optional<Frame>> frame = ReadFrame(file, 0, *size, salt, std::nullopt);
  if (!frame) {
    return Fail(frame.error());
  }
  return *frame ? std::optional((*frame)->header) : std::nullopt;
}

Result<JournalContent> ReadFrames(DiskFile& file, uint64_t salt, uint64_t generation,
                                  const RecordVisitor& visit) {
  const Result<uint64_t> size = file.Size();
  if (!size) {
    return Fail(size.error());
  }
  JournalContent content;
  uint64_t offset = 0;
  while (offset + kFrameHeaderBytes <= *size) {
    const Result<std::optional<Frame>> frame = ReadFrame(file, offset, *size, salt, generation);
    if (!frame) {
      return Fail(frame.error());
    }
    const bool whole =
        *frame && (*frame)->header.sequence == content.frames && VisitRecords(**frame, true, visit);
    if (!whole) {
      break;
    }
    if (Result<void> taken = VisitRecords(**frame, false, visit); !taken) {
      return Fail(taken.error());
    }
    ++content.frames;
    offset += (*frame)->header.End();
  }
  const Result<bool> damaged = WasDurable(file, offset, *size, salt, generation, content.frames);
  if (!damaged) {
    return Fail(damaged.error());
  }
  content.damaged = *damaged;
  return content;
}

}  // namespace ringfs::chunkserver
