#include "io/mapped_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "core/error.h"
#include "core/posix_file.h"

namespace deda::io {

MappedFile::MappedFile(const std::filesystem::path& path, Access access,
                       std::optional<std::uint64_t> expected_bytes) {
  const posix::FileDescriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.get() < 0)
    throw DataError(fmt::format("cannot be opened: {}", std::strerror(errno)), path.string(),
                    "Check the path and the permissions.");
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) throw posix::system_error("read", path, errno);
  if (!S_ISREG(status.st_mode)) throw DataError("is not a regular file", path.string());
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (expected_bytes && size != *expected_bytes)
    throw DataError(fmt::format("the file has {} bytes instead of {}", size, *expected_bytes), path.string());
  if (size == 0) return;
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file.get(), 0);
  if (address == MAP_FAILED) throw posix::system_error("map", path, errno);
  bytes_ = {static_cast<const std::uint8_t*>(address), size};
  // Advice only: without it the kernel reads ahead what nobody asked for.
  if (access == Access::random) static_cast<void>(::madvise(address, size, MADV_RANDOM));
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::uint8_t*>(bytes_.data()), bytes_.size());
}

}  // namespace deda::io
