#include "io/mapped_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>

#include "core/error.h"
#include "core/posix_file.h"

namespace deda::io {

MappedFile::MappedFile(const std::filesystem::path& path, std::uint64_t expected_bytes) {
  const auto file = posix::open_file(path, O_RDONLY);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) throw posix::system_error("read", path, errno);
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (size != expected_bytes)
    throw DataError(fmt::format("the file has {} bytes instead of {}", size, expected_bytes), path.string());
  if (size == 0) return;
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file.get(), 0);
  if (address == MAP_FAILED) throw posix::system_error("map", path, errno);
  bytes_ = {static_cast<const std::uint8_t*>(address), size};
  // Advice only: without it the kernel reads ahead what nobody asked for.
  static_cast<void>(::madvise(address, size, MADV_RANDOM));
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::uint8_t*>(bytes_.data()), bytes_.size());
}

}  // namespace deda::io
