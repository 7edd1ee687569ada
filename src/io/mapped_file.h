// A file in the address space, read-only: the one memory map of src/io.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <utility>

namespace deda::io {

// For files that do not change while they are read (finished segments, weights). No descriptor is kept open.
class MappedFile {
 public:
  enum class Access { in_order, random };  // random: pages are read one by one when touched, none ahead

  MappedFile() = default;
  // DataError: no such file, no regular file, or not of `expected_bytes`; IoError: the system refuses.
  explicit MappedFile(const std::filesystem::path& path, Access access = Access::in_order,
                      std::optional<std::uint64_t> expected_bytes = {});
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
