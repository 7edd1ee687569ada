// A file in the address space, read-only. Internal to src/io.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <utility>

namespace deda::io {

// Finished segments never change, so the mapping stays good while the file system does. No descriptor is kept
// open.
class MappedFile {
 public:
  MappedFile() = default;
  // Pages are read when touched, single (random access). DataError unless the file has `expected_bytes`;
  // IoError when the system refuses.
  MappedFile(const std::filesystem::path& path, std::uint64_t expected_bytes);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept : bytes_{std::exchange(other.bytes_, {})} {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  std::span<const std::uint8_t> bytes() const { return bytes_; }

 private:
  std::span<const std::uint8_t> bytes_;
};

}  // namespace deda::io
