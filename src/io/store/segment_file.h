// One segment as an HDF5 file: written by all ranks together, checked, and read back. Internal to src/io.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "io/store/segment_columns.h"
#include "io/store/segment_plan.h"

namespace deda::io {

// Where the pixels lie in the file, in bytes.
struct PixelsPlace {
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  bool operator==(const PixelsPlace&) const = default;
};

struct SegmentFile {
  SegmentColumns columns;
  PixelsPlace pixels;
};

// Collective. Writes the whole file at `path` (replacing what is there) and closes it; not yet synced.
// `write_limit` is the most that a rank hands to one collective write; more goes in several. IoError on every
// rank if any rank failed.
inline constexpr std::uint64_t default_write_limit = std::uint64_t{256} << 20;
PixelsPlace write_segment_file(const comm::Communicator& ranks, const std::filesystem::path& path,
                               const SegmentIdentity& identity, const SegmentPlan& plan,
                               std::uint64_t write_limit = default_write_limit);

// Collective. Reads the file back and compares it with the plan, the work divided over the ranks so that
// nobody checks what it wrote. Returns the differences found by any rank, in words; empty when all is as it
// should be.
std::vector<std::string> differences_from_plan(const comm::Communicator& ranks,
                                               const std::filesystem::path& path,
                                               const SegmentIdentity& identity, const SegmentPlan& plan,
                                               const PixelsPlace& place);

// Opens the file with HDF5 and reads everything but the pixels. The file's bytes outside the pixels must be
// known to be good (metadata_hash): HDF5 may crash on others. DataError lists what does not fit `identity`
// and `records`.
SegmentFile read_segment_file(const std::filesystem::path& path, const SegmentIdentity& identity,
                              std::size_t records);

}  // namespace deda::io
