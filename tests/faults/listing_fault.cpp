// A library to preload: the listing of one folder fails after its first entries, as network file systems do.
//
//   DEDA_FAULT_LISTING  end of the folder's path
#include <dirent.h>
#include <dlfcn.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

bool is_the_folder(DIR* folder) {
  const char* name = std::getenv("DEDA_FAULT_LISTING");
  char link[64], path[4096];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", dirfd(folder));
  const ssize_t length = ::readlink(link, path, sizeof(path) - 1);
  if (name == nullptr || length < 0) return false;
  const std::size_t end = std::strlen(name), whole = static_cast<std::size_t>(length);
  return whole >= end && std::memcmp(path + whole - end, name, end) == 0;
}

template <class Entry>
Entry* read_or_fail(DIR* folder, const char* function) {
  constexpr int good_entries = 4;  // ".", ".." and two files
  static thread_local int read = 0;
  if (is_the_folder(folder) && ++read > good_entries) {
    errno = EIO;
    return nullptr;
  }
  using Function = Entry* (*)(DIR*);
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, function))(folder);
}

}  // namespace

extern "C" struct dirent* readdir(DIR* folder) {
  return read_or_fail<struct dirent>(folder, "readdir");
}

extern "C" struct dirent64* readdir64(DIR* folder) {
  return read_or_fail<struct dirent64>(folder, "readdir64");
}
