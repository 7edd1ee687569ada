#include "io/store/folder_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <string>
#include <thread>

#include "core/error.h"
#include "core/log.h"

namespace deda::io {

namespace {

std::string this_process() {
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host[0] = '?';
  return fmt::format("process {} on {}", ::getpid(), host.data());
}

std::string text_of(const posix::FileDescriptor& file) {
  std::array<char, 512> text{};
  const ssize_t count = ::pread(file.get(), text.data(), text.size(), 0);
  return std::string(text.data(), count > 0 ? static_cast<std::size_t>(count) : 0);
}

}  // namespace

std::filesystem::path lock_path(const std::filesystem::path& folder) {
  return folder / "writer.lock";
}

std::string holder_of(const std::filesystem::path& folder) {
  const posix::FileDescriptor file{::open(lock_path(folder).c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.get() < 0) return {};
  if (::flock(file.get(), LOCK_SH | LOCK_NB) == 0 || errno != EWOULDBLOCK) return {};
  const std::string holder = text_of(file);
  return holder.empty() ? "another process" : holder;
}

FolderLock::FolderLock(const std::filesystem::path& folder) : path_{lock_path(folder)} {
  // Somebody who only asks who holds the folder (holder_of) has it for an instant.
  constexpr int tries = 5;
  constexpr auto between = std::chrono::milliseconds{50};
  for (int i = 1; i < tries && !holder_of(folder).empty(); ++i) std::this_thread::sleep_for(between);
  while (!try_to_lock()) {
  }
}

bool FolderLock::try_to_lock() {
  const bool writable = open_lock_file();
  int result = 0;
  do {
    result = ::flock(file_.get(), LOCK_EX | LOCK_NB);
  } while (result != 0 && errno == EINTR);
  if (result != 0 && errno == EWOULDBLOCK) {
    const std::string holder = text_of(file_);
    throw FolderHeld(fmt::format("another run writes this folder: {}",
                                 holder.empty() ? "its name is not known yet" : holder),
                     path_.string(), "Wait for it or stop it, then run the same command.");
  }
  if (result != 0) {
    log_warning("{}: this file system has no locks (error {}); do not let two runs write this folder at once",
                path_.string(), errno);
    return true;
  }
  struct stat ours {
  }, there{};
  if (::fstat(file_.get(), &ours) != 0 || ::stat(path_.c_str(), &there) != 0 || ours.st_ino != there.st_ino)
    return false;
  // Left by a killed run of somebody else: nobody holds it, so it makes room for one with our name.
  if (!writable) return ::unlink(path_.c_str()) != 0;
  const std::string text = this_process();
  if (::ftruncate(file_.get(), 0) == 0) posix::write_all(file_, text, path_);
  return true;
}

bool FolderLock::open_lock_file() {
  try {
    file_ = posix::open_file(path_, O_RDWR | O_CREAT);
    return true;
  } catch (const IoError&) {
    // Of another user, not ours to write: reading it is enough to lock it.
    file_ = posix::FileDescriptor{::open(path_.c_str(), O_RDONLY | O_CLOEXEC)};
    if (file_.get() < 0) throw;
    return false;
  }
}

FolderLock::~FolderLock() {
  // Removed while still held: whoever opened the old file notices that it is gone and makes a new one.
  ::unlink(path_.c_str());
}

}  // namespace deda::io
