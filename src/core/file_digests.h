// What is in a file, as 32 hexadecimal digits (XXH3-128 of its bytes). Read once: a cache beside the user's
// other caches keeps each digest with device, inode, size, modification and change time of the file, so that
// ten gigabytes of weights cost a stat() the second time. A file that changed within the last seconds is
// never taken from the cache: its times could not show a second change.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace deda {

class FileDigests {
 public:
  // DEDA_CACHE_DIR, else XDG_CACHE_HOME/deda, else HOME/.cache/deda; empty where none is set.
  static std::filesystem::path default_cache();  // FOLDER/file-digests
  // What people are told where save() could not keep the default cache.
  static std::string not_kept();

  // Reads the cache; a damaged or foreign one counts as empty. Empty path: nothing is kept.
  explicit FileDigests(std::filesystem::path cache = default_cache());
  ~FileDigests();
  FileDigests(FileDigests&&) noexcept;

  // IoError when the file cannot be read or changes while it is. Safe from many threads.
  std::string of(const std::filesystem::path& file);
  // The same for many files on several threads; "absent" for those that are not there or cannot be read.
  std::vector<std::string> of(const std::vector<std::filesystem::path>& files, int threads);
  // Bytes read by this object, so far.
  std::uint64_t bytes_read() const;
  // Adds what is new to the cache. A cache that cannot be written is no error: `false`.
  bool save();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace deda
