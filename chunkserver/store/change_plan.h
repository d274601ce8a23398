#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "chunkserver/store/block.h"
#include "chunkserver/store/block_state.h"
#include "chunkserver/store/cluster_space.h"
#include "chunkserver/store/segment_files.h"
#include "common/buffer.h"
#include "common/result.h"

namespace ringfs::chunkserver {

// Bytes that go to fresh space, before the record that names them.
struct DirectWrite {
  uint64_t unit_address = 0;
  uint32_t units = 0;
  std::vector<std::span<const std::byte>> pieces;
};

// A change worked out against the state that it is made to.
struct ChangePlan {
  BlockUpdate update;
  std::vector<DirectWrite> writes;
  std::vector<Buffer> edges;        // merged units that `writes` point into
  std::vector<uint32_t> allocated;  // clusters that nothing names unless the update is applied
};

// Whether the change makes sense by itself. kInvalid.
Result<void> CheckChange(const BlockChange& change);
// Whether bytes of the change may go to their place at once, and not through the journal.
bool WritesDirect(const BlockChange& change, uint32_t small_write_bytes);
// Journal room that is enough for any plan of the change.
uint64_t JournalRoom(const BlockChange& change, uint32_t small_write_bytes);

// Bytes of one unit of a block, verified, zeros after the end of the block. kCorrupted, kIo.
Result<Buffer> ReadUnit(SegmentFiles& segments, const BlockState& state, uint32_t unit,
                        Patience patience);

// Works out a change: which units are merged with what they hold, which go through the journal and
// which to fresh space. Takes that space; whoever does not apply the plan frees `allocated`; after
// an error nothing is taken.
// kCorrupted: a unit to be merged does not match its checksum. kNoSpace. kIo.
Result<ChangePlan> PlanChange(const BlockChange& change, const BlockState& state,
                              uint32_t small_write_bytes, SegmentFiles& segments,
                              ClusterSpace& space, Patience patience);

}  // namespace ringfs::chunkserver
