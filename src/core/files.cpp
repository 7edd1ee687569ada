#include "core/files.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>

#include "core/posix_file.h"

namespace deda {

namespace {

constexpr mode_t file_mode =
    0666;  // less the umask, so that a group can continue a run where its umask is 002
constexpr std::size_t read_piece = std::size_t{1} << 20;

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path{"."};
}

// Reads piece by piece rather than by size, so that pipes and files of /proc work and growth is bounded.
template <class Container>
Container read_whole(const fs::path& path, std::uint64_t max_bytes) {
  const posix::FileDescriptor file = posix::open_file(path, O_RDONLY);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) throw posix::system_error("read", path, errno);
  if (S_ISDIR(status.st_mode)) throw posix::system_error("read", path, EISDIR);
  const auto too_large = [&] {
    return DataError(fmt::format("the file is larger than {} bytes", max_bytes), path.string(),
                     "Is it the right file?");
  };
  if (S_ISREG(status.st_mode) && static_cast<std::uint64_t>(status.st_size) > max_bytes) throw too_large();
  Container bytes;
  bytes.reserve(S_ISREG(status.st_mode) ? static_cast<std::size_t>(status.st_size) + 1 : read_piece);
  std::size_t filled = 0;
  for (;;) {
    if (bytes.size() == filled) bytes.resize(std::max(bytes.capacity(), filled + read_piece));
    const ssize_t count = ::read(file.get(), bytes.data() + filled, bytes.size() - filled);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw posix::system_error("read", path, errno);
    if (count == 0) break;
    filled += static_cast<std::size_t>(count);
    if (filled > max_bytes) throw too_large();
  }
  bytes.resize(filled);
  return bytes;
}

// Removes the half-written file unless told that it was renamed away.
class PartialFile {
 public:
  explicit PartialFile(fs::path path) : path_{std::move(path)} {}
  ~PartialFile() {
    if (!renamed_) ::unlink(path_.c_str());
  }
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;
  const fs::path& path() const { return path_; }
  void set_renamed() { renamed_ = true; }

 private:
  fs::path path_;
  bool renamed_ = false;
};

}  // namespace

std::string read_text(const fs::path& path, std::uint64_t max_bytes) {
  return read_whole<std::string>(path, max_bytes);
}

std::vector<std::uint8_t> read_bytes(const fs::path& path, std::uint64_t max_bytes) {
  return read_whole<std::vector<std::uint8_t>>(path, max_bytes);
}

void write_atomically(const fs::path& path, std::string_view bytes) {
  write_atomically(path, std::vector<std::string_view>{bytes});
}

void write_atomically(const fs::path& path, const std::vector<std::string_view>& pieces) {
  PartialFile partial{path.string() + ".partial." + std::to_string(::getpid())};
  // What lies there was left by a killed process that had our number; O_EXCL then proves that nobody else
  // writes it now.
  ::unlink(partial.path().c_str());
  posix::FileDescriptor file = posix::open_file(partial.path(), O_WRONLY | O_CREAT | O_EXCL, file_mode);
  for (const auto piece : pieces) posix::write_all(file, piece, partial.path());
  posix::sync_file(file, partial.path());
  if (const int error_number = file.reset(); error_number != 0)
    throw posix::system_error("close", partial.path(), error_number);
  if (::rename(partial.path().c_str(), path.c_str()) != 0)
    throw posix::system_error("rename the finished file to", path, errno);
  partial.set_renamed();
  sync_path(folder_of(path));
}

void append_line(const fs::path& path, std::string_view line, bool sync) {
  // Read access as well: whether the last line was torn is read from the file.
  const posix::FileDescriptor file = posix::open_file(path, O_RDWR | O_CREAT | O_APPEND, file_mode);
  std::string text;
  text.reserve(line.size() + 2);
  if (posix::ends_without_newline(file)) text += '\n';
  text += line;
  text += '\n';
  posix::write_all(file, text, path);
  if (sync) posix::sync_file(file, path);
}

void sync_path(const fs::path& path) {
  posix::sync_file(posix::open_file(path, O_RDONLY), path);
}

void rename_durably(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0)
    throw posix::system_error("rename to " + to.string(), from, errno);
  sync_path(folder_of(to));
  if (folder_of(from) != folder_of(to)) sync_path(folder_of(from));
}

void make_folder(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) throw posix::system_error("make the folder", path, error.value());
  if (!fs::is_directory(path, error)) throw posix::system_error("make the folder", path, ENOTDIR);
}

}  // namespace deda
