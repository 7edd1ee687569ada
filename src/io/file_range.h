// Reading parts of a file by place, and hashes over parts of a file. Internal to src/io.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <utility>
#include <vector>

#include "core/posix_file.h"

namespace deda::io {

// A file opened for reading by place. Bounded memory whatever the size.
class FileRange {
 public:
  explicit FileRange(std::filesystem::path path);  // IoError names path and reason
  std::uint64_t size() const { return size_; }
  // Fills `target` from byte `offset`; DataError when the file ends before.
  void read(std::uint64_t offset, std::span<std::uint8_t> target) const;
  // xxHash64 over the bytes of the ranges [first, second), one after the other.
  std::uint64_t hash_of(std::span<const std::pair<std::uint64_t, std::uint64_t>> ranges) const;
  std::uint64_t hash_of_all() const;

 private:
  std::filesystem::path path_;
  posix::FileDescriptor file_;
  std::uint64_t size_ = 0;
};

}  // namespace deda::io
