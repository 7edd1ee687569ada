// One writer per folder (a store, a run): an exclusive lock that the kernel drops when its holder dies.
#pragma once

#include <filesystem>
#include <string>

#include "core/posix_file.h"

namespace deda::io {

// FOLDER/writer.lock
std::filesystem::path lock_path(const std::filesystem::path& folder);

// Who writes the folder right now ("process 12 on node7"); empty where nobody does, or locks cannot tell.
std::string holder_of(const std::filesystem::path& folder);

// Holds `folder/writer.lock` (flock) while it lives and removes the file at the end. FolderHeld, naming
// process and host, when another process writes the folder. A lock file left by a killed process does not
// count, whoever owns it. File systems without locks: a warning, and no protection.
class FolderLock {
 public:
  explicit FolderLock(const std::filesystem::path& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  bool try_to_lock();     // false: the file was removed by its former holder in between
  bool open_lock_file();  // false: it can only be read
  std::filesystem::path path_;
  posix::FileDescriptor file_;
};

}  // namespace deda::io
