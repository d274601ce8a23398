#pragma once

#include <cstddef>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

namespace ringfs::chunkserver {

// Turns `count` bits, picked at random among all bytes that the files below `folder` store (holes
// are left alone), to their opposite. Only files whose path below `folder` begins with `prefix`.
// Returns how many were flipped: less than `count` only when there is nothing stored.
size_t FlipBits(const std::filesystem::path& folder, const std::string& prefix, size_t count,
                std::mt19937_64& random);

}  // namespace ringfs::chunkserver
