#include "core/posix_file.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace deda::posix {

namespace {

// One write never asks for more than Linux transfers in a call.
constexpr std::size_t largest_write = std::size_t{1} << 30;

const char* hint_for(int error_number) {
  switch (error_number) {
    case ENOSPC:
      return "The disk is full: free space there or name another folder with --out.";
    case EDQUOT:
      return "Your quota is used up: delete files there or name another folder with --out.";
    case EACCES:
    case EPERM:
      return "Check the permissions of the file and its folders.";
    case EROFS:
      return "The file system is mounted read-only: name another folder.";
    case ENOENT:
      return "Check the spelling of the path; a folder of it may be missing.";
    case ENOTDIR:
      return "A part of the path is a file where a folder is needed.";
    case EISDIR:
      return "This is a folder where a file is needed.";
    case ENAMETOOLONG:
      return "Choose a shorter name.";
    case EMFILE:
    case ENFILE:
      return "Too many files are open: raise the limit (ulimit -n).";
    case EIO:
    case ESTALE:
      return "The file system has a fault; ask its administrator and run the same command again.";
    default:
      return "";
  }
}

}  // namespace

IoError system_error(std::string_view action, const std::filesystem::path& path, int error_number) {
  return IoError(fmt::format("cannot {}: {}", action, std::strerror(error_number)), path.string(),
                 hint_for(error_number));
}

int FileDescriptor::reset() {
  const int descriptor = std::exchange(descriptor_, -1);
  if (descriptor < 0) return 0;
  // Linux has released the descriptor even when close() says EINTR; a retry could close somebody else's file.
  if (::close(descriptor) != 0 && errno != EINTR) return errno;
  return 0;
}

FileDescriptor open_file(const std::filesystem::path& path, int flags, mode_t mode) {
  int descriptor = -1;
  do {
    descriptor = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  } while (descriptor < 0 && errno == EINTR);
  if (descriptor < 0) throw system_error((flags & O_CREAT) != 0 ? "create" : "open", path, errno);
  return FileDescriptor{descriptor};
}

void write_all(const FileDescriptor& file, std::string_view bytes, const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file.get(), bytes.data(), std::min(bytes.size(), largest_write));
    if (written < 0) {
      if (errno == EINTR) continue;
      throw system_error("write", path, errno);
    }
    if (written == 0) throw system_error("write", path, ENOSPC);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

void sync_file(const FileDescriptor& file, const std::filesystem::path& path) {
  int result = 0;
  do {
    result = ::fsync(file.get());
  } while (result != 0 && errno == EINTR);
  // EINVAL: the thing has nothing to sync (a pipe, some network file systems' folders).
  if (result != 0 && errno != EINVAL) throw system_error("sync to disk", path, errno);
}

bool ends_without_newline(const FileDescriptor& file) {
  struct stat status {};
  if (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode) || status.st_size == 0) return false;
  char last = '\n';
  return ::pread(file.get(), &last, 1, status.st_size - 1) == 1 && last != '\n';
}

}  // namespace deda::posix
