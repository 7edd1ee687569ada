// A library to preload: at the n-th change that the process makes inside one folder, it dies or the disk
// becomes full.
//
//   DEDA_FAULT_FOLDER  folder to watch (a prefix of the path)
//   DEDA_FAULT_AT      number of the call, from 1
//   DEDA_FAULT_KIND    kill: SIGKILL before the call;  full: this call and all later ones that need space
//   fail with ENOSPC;
//                      short: from this call on, every write writes half of what it was asked to
//   DEDA_FAULT_COUNT   file that gets one byte per call, so that a test knows how many there are
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

namespace {

std::atomic<long> calls{0};

bool inside(const char* path) {
  const char* folder = std::getenv("DEDA_FAULT_FOLDER");
  return folder != nullptr && std::strncmp(path, folder, std::strlen(folder)) == 0;
}

bool inside(int descriptor) {
  char link[64] = "/proc/self/fd/", digits[16];
  int length = 0;
  for (int rest = descriptor; rest > 0 || length == 0; rest /= 10)
    digits[length++] = static_cast<char>('0' + rest % 10);
  for (char* end = link + std::strlen(link); length > 0; *end++ = digits[--length], *end = '\0') {
  }
  char path[4096];
  const ssize_t count = ::readlink(link, path, sizeof(path) - 1);
  if (count <= 0) return false;
  path[count] = '\0';
  return inside(path);
}

enum class Fault { none, full, half };

// Counts the call; dies here when it is its turn.
Fault next_call() {
  const long number = ++calls;
  if (const char* file = std::getenv("DEDA_FAULT_COUNT")) {
    const long descriptor = syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (descriptor >= 0) {
      syscall(SYS_write, descriptor, "x", 1);
      syscall(SYS_close, descriptor);
    }
  }
  const char* at = std::getenv("DEDA_FAULT_AT");
  const char* kind = std::getenv("DEDA_FAULT_KIND");
  if (at == nullptr || kind == nullptr || number < std::atol(at)) return Fault::none;
  if (std::strcmp(kind, "kill") == 0) ::kill(::getpid(), SIGKILL);
  return std::strcmp(kind, "full") == 0 ? Fault::full : Fault::half;
}

template <class Function>
Function original(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

// `write_bytes(count)` is the original call with another count.
template <class Write>
ssize_t faulty_write(int descriptor, std::size_t bytes, Write write_bytes) {
  if (!inside(descriptor)) return write_bytes(bytes);
  switch (next_call()) {
    case Fault::full:
      errno = ENOSPC;
      return -1;
    case Fault::half:
      return write_bytes(bytes > 1 ? bytes / 2 : bytes);
    case Fault::none:
      break;
  }
  return write_bytes(bytes);
}

}  // namespace

extern "C" {

ssize_t write(int descriptor, const void* data, size_t bytes) {
  static const auto call = original<ssize_t (*)(int, const void*, size_t)>("write");
  return faulty_write(descriptor, bytes, [&](size_t count) { return call(descriptor, data, count); });
}
ssize_t pwrite(int descriptor, const void* data, size_t bytes, off_t offset) {
  static const auto call = original<ssize_t (*)(int, const void*, size_t, off_t)>("pwrite");
  return faulty_write(descriptor, bytes, [&](size_t count) { return call(descriptor, data, count, offset); });
}
ssize_t pwrite64(int descriptor, const void* data, size_t bytes, off64_t offset) {
  static const auto call = original<ssize_t (*)(int, const void*, size_t, off64_t)>("pwrite64");
  return faulty_write(descriptor, bytes, [&](size_t count) { return call(descriptor, data, count, offset); });
}
// Of several buffers, half means the first one only.
ssize_t writev(int descriptor, const iovec* buffers, int number) {
  static const auto call = original<ssize_t (*)(int, const iovec*, int)>("writev");
  return faulty_write(descriptor, static_cast<size_t>(number),
                      [&](size_t count) { return call(descriptor, buffers, static_cast<int>(count)); });
}
ssize_t pwritev(int descriptor, const iovec* buffers, int number, off_t offset) {
  static const auto call = original<ssize_t (*)(int, const iovec*, int, off_t)>("pwritev");
  return faulty_write(descriptor, static_cast<size_t>(number), [&](size_t count) {
    return call(descriptor, buffers, static_cast<int>(count), offset);
  });
}
int fsync(int descriptor) {
  static const auto call = original<int (*)(int)>("fsync");
  if (inside(descriptor)) static_cast<void>(next_call());
  return call(descriptor);
}
int ftruncate(int descriptor, off_t size) {
  static const auto call = original<int (*)(int, off_t)>("ftruncate");
  if (inside(descriptor)) static_cast<void>(next_call());
  return call(descriptor, size);
}
int ftruncate64(int descriptor, off64_t size) {
  static const auto call = original<int (*)(int, off64_t)>("ftruncate64");
  if (inside(descriptor)) static_cast<void>(next_call());
  return call(descriptor, size);
}
int fallocate(int descriptor, int mode, off_t offset, off_t length) {
  static const auto call = original<int (*)(int, int, off_t, off_t)>("fallocate");
  if (inside(descriptor) && next_call() == Fault::full) {
    errno = ENOSPC;
    return -1;
  }
  return call(descriptor, mode, offset, length);
}
int rename(const char* from, const char* to) {
  static const auto call = original<int (*)(const char*, const char*)>("rename");
  if (inside(from)) static_cast<void>(next_call());
  return call(from, to);
}
int unlink(const char* path) {
  static const auto call = original<int (*)(const char*)>("unlink");
  if (inside(path)) static_cast<void>(next_call());
  return call(path);
}

}  // extern "C"
