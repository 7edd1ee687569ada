#include "io/file_range.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>

#include "core/error.h"

namespace deda::io {

namespace {
constexpr std::uint64_t read_piece = std::uint64_t{4} << 20;
}

FileRange::FileRange(std::filesystem::path path)
    : path_{std::move(path)}, file_{posix::open_file(path_, O_RDONLY)} {
  struct stat status {};
  if (::fstat(file_.get(), &status) != 0) throw posix::system_error("read", path_, errno);
  if (!S_ISREG(status.st_mode)) throw DataError("this is not a file", path_.string());
  size_ = static_cast<std::uint64_t>(status.st_size);
}

void FileRange::read(std::uint64_t offset, std::span<std::uint8_t> target) const {
  while (!target.empty()) {
    const ssize_t count = ::pread(file_.get(), target.data(), target.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw posix::system_error("read", path_, errno);
    if (count == 0)
      throw DataError(fmt::format("the file ends before byte {}", offset + target.size()), path_.string());
    target = target.subspan(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
}

std::uint64_t FileRange::hash_of(std::span<const std::pair<std::uint64_t, std::uint64_t>> ranges) const {
  const std::unique_ptr<XXH64_state_t, decltype(&XXH64_freeState)> state{XXH64_createState(),
                                                                         XXH64_freeState};
  XXH64_reset(state.get(), 0);
  std::vector<std::uint8_t> buffer;
  for (auto [begin, end] : ranges) {
    while (begin < end) {
      buffer.resize(std::min(read_piece, end - begin));
      read(begin, buffer);
      XXH64_update(state.get(), buffer.data(), buffer.size());
      begin += buffer.size();
    }
  }
  return XXH64_digest(state.get());
}

std::uint64_t FileRange::hash_of_all() const {
  const std::array<std::pair<std::uint64_t, std::uint64_t>, 1> whole{{{0, size_}}};
  return hash_of(whole);
}

}  // namespace deda::io
