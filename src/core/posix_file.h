// A POSIX file descriptor with an owner, and system errors as IoError. Internal to src/core.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cstddef>
#include <filesystem>
#include <string_view>
#include <utility>

#include "core/error.h"

namespace deda::posix {

// IoError "cannot <action>: <reason>" at `path`; the hint fits the error number (disk full, permission, ...).
IoError system_error(std::string_view action, const std::filesystem::path& path, int error_number);

class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int descriptor) : descriptor_{descriptor} {}
  FileDescriptor(FileDescriptor&& other) noexcept : descriptor_{std::exchange(other.descriptor_, -1)} {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    if (this != &other) {
      reset();
      descriptor_ = std::exchange(other.descriptor_, -1);
    }
    return *this;
  }
  ~FileDescriptor() { reset(); }
  int get() const { return descriptor_; }
  // Closes; returns the error number of close() or 0. Some file systems (NFS) report a full disk only here.
  int reset();

 private:
  int descriptor_ = -1;
};

// open() with O_CLOEXEC, EINTR retried; throws IoError. A new file gets `mode` less the umask.
FileDescriptor open_file(const std::filesystem::path& path, int flags, mode_t mode = 0666);
// All bytes; EINTR and short writes are retried. Throws IoError.
void write_all(const FileDescriptor& file, std::string_view bytes, const std::filesystem::path& path);
// Throws IoError.
void sync_file(const FileDescriptor& file, const std::filesystem::path& path);
// True when the file has bytes and its last one is not a newline (a killed run's torn line).
bool ends_without_newline(const FileDescriptor& file);

}  // namespace deda::posix
