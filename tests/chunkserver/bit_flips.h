#pragma once

#include <cstddef>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

namespace ringfs::chunkserver {

// Turns `count` bits to their opposite, picked at random among those of the pages of 4 KiB, in the
// files below `folder`, that hold anything but zeros. Only files whose path below `folder` begins
// with `prefix`. Returns how many were flipped: less than `count` only when nothing is stored.
size_t FlipBits(const std::filesystem::path& folder, const std::string& prefix, size_t count,
                std::mt19937_64& random);

}  // namespace ringfs::chunkserver
