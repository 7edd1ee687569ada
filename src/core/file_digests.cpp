#include "core/file_digests.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <mutex>
#include <unordered_map>

#include "core/error.h"
#include "core/escaped_name.h"
#include "core/files.h"
#include "core/parallel.h"
#include "core/posix_file.h"

namespace deda {
namespace {

constexpr std::string_view magic = "deda-digests-1\n";
constexpr std::int64_t settled_ns =
    2'000'000'000;  // older changes show in the times, whatever the file system
constexpr std::size_t block_bytes = 1u << 20;
constexpr std::size_t most_dead =
    100'000;  // records that newer ones replace, before the cache is written anew

// One file as the cache knows it. Written as it lies in memory: the cache never leaves the machine's kind.
struct Entry {
  std::uint64_t device = 0, inode = 0, size = 0;
  std::int64_t modified_ns = 0, changed_ns = 0;
  std::uint64_t high = 0, low = 0;
  std::uint64_t seal = 0;  // XXH64 of what is before it: a torn line of the file is passed over

  std::uint64_t own_seal() const { return XXH64(this, offsetof(Entry, seal), 0); }
  bool same_file(const Entry& other) const { return std::memcmp(this, &other, offsetof(Entry, high)) == 0; }
  std::string digest() const { return fmt::format("{:016x}{:016x}", high, low); }
};
static_assert(sizeof(Entry) == 64);

struct Place {
  std::uint64_t device = 0, inode = 0;
  bool operator==(const Place&) const = default;
};
struct PlaceHash {
  std::size_t operator()(const Place& place) const { return XXH64(&place, sizeof place, 0); }
};

std::int64_t nanoseconds(const timespec& time) {
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

Entry entry_of(const struct stat& status) {
  Entry entry;
  entry.device = status.st_dev;
  entry.inode = status.st_ino;
  entry.size = static_cast<std::uint64_t>(status.st_size);
  entry.modified_ns = nanoseconds(status.st_mtim);
  entry.changed_ns = nanoseconds(status.st_ctim);
  return entry;
}

// squashfs, EROFS, ISO 9660: another image on the same loop device can agree in all that an entry holds.
bool is_image_of_files(const posix::FileDescriptor& file) {
  constexpr std::array<std::uint64_t, 3> kinds{0x73717368, 0xE0F5E1E2, 0x9660};
  struct statfs system {};
  if (::fstatfs(file.get(), &system) != 0) return false;
  return std::find(kinds.begin(), kinds.end(), static_cast<std::uint64_t>(system.f_type)) != kinds.end();
}

}  // namespace

struct FileDigests::State {
  fs::path cache;
  std::mutex mutex;
  std::unordered_map<Place, Entry, PlaceHash> known;
  std::vector<Entry> fresh;
  std::size_t dead = 0;
  std::atomic<std::uint64_t> bytes_read{0};

  void load() {
    std::string text;
    try {
      std::error_code unreadable;
      if (cache.empty() || !fs::exists(cache, unreadable)) return;
      text = read_text(cache);
    } catch (const Error&) {
      dead = most_dead + 1;  // too large or broken: replaced when there is something to write
      return;
    }
    if (!std::string_view{text}.starts_with(magic)) {
      dead = most_dead + 1;  // of another kind: replaced when there is something to write
      return;
    }
    for (std::size_t at = magic.size(); at + sizeof(Entry) <= text.size(); at += sizeof(Entry)) {
      Entry entry;
      std::memcpy(&entry, text.data() + at, sizeof entry);
      if (entry.seal != entry.own_seal()) {
        dead = most_dead + 1;  // a torn record moves all behind it out of step
        break;
      }
      if (!known.insert_or_assign({entry.device, entry.inode}, entry).second) ++dead;
    }
  }

  Entry hash(const posix::FileDescriptor& descriptor, const fs::path& file) {
    struct stat before {
    }, after{};
    if (::fstat(descriptor.get(), &before) != 0) throw posix::system_error("read", file, errno);
    if (!S_ISREG(before.st_mode)) throw IoError("is no regular file", file.string());
    const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> hash{XXH3_createState(), &XXH3_freeState};
    XXH3_128bits_reset(hash.get());
    std::vector<char> block(block_bytes);
    for (;;) {
      const auto got = ::read(descriptor.get(), block.data(), block.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) throw posix::system_error("read", file, errno);
      if (got == 0) break;
      XXH3_128bits_update(hash.get(), block.data(), static_cast<std::size_t>(got));
      bytes_read += static_cast<std::uint64_t>(got);
    }
    Entry entry = entry_of(before);
    if (::fstat(descriptor.get(), &after) != 0 || !entry.same_file(entry_of(after)))
      throw IoError("changed while it was read", file.string(), "Wait until whoever writes it has ended.");
    const XXH128_hash_t value = XXH3_128bits_digest(hash.get());
    entry.high = value.high64;
    entry.low = value.low64;
    entry.seal = entry.own_seal();
    return entry;
  }
};

fs::path FileDigests::default_cache() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return fs::path{value == nullptr ? "" : value};
  };
  constexpr const char* name = "file-digests";
  if (const auto own = variable("DEDA_CACHE_DIR"); !own.empty()) return own / name;
  if (const auto caches = variable("XDG_CACHE_HOME"); !caches.empty()) return caches / "deda" / name;
  if (const auto home = variable("HOME"); !home.empty()) return home / ".cache" / "deda" / name;
  return {};
}

std::string FileDigests::not_kept() {
  const fs::path cache = default_cache();
  return fmt::format("{}, so that every job reads all files again; name a folder in DEDA_CACHE_DIR",
                     cache.empty() ? "digests of files are not kept: HOME is not set"
                                   : path_text(cache) + ": digests of files cannot be kept there");
}

FileDigests::FileDigests(fs::path cache) : state_{std::make_unique<State>()} {
  state_->cache = std::move(cache);
  state_->load();
}
FileDigests::~FileDigests() = default;
FileDigests::FileDigests(FileDigests&&) noexcept = default;

std::string FileDigests::of(const fs::path& file) {
  // Opened, not only looked at: that makes network file systems ask their server for the times.
  const auto descriptor = posix::open_file(file, O_RDONLY);
  struct stat status {};
  if (::fstat(descriptor.get(), &status) != 0) throw posix::system_error("read", file, errno);
  const Entry now = entry_of(status);
  {
    const std::lock_guard lock{state_->mutex};
    const auto found = state_->known.find({now.device, now.inode});
    if (found != state_->known.end() && found->second.same_file(now)) return found->second.digest();
  }
  const Entry entry = state_->hash(descriptor, file);
  timespec clock{};
  ::clock_gettime(CLOCK_REALTIME, &clock);
  const std::int64_t settled = nanoseconds(clock) - settled_ns;
  if (entry.modified_ns < settled && entry.changed_ns < settled && !is_image_of_files(descriptor)) {
    const std::lock_guard lock{state_->mutex};
    if (!state_->known.insert_or_assign({entry.device, entry.inode}, entry).second) ++state_->dead;
    state_->fresh.push_back(entry);
  }
  return entry.digest();
}

std::vector<std::string> FileDigests::of(const std::vector<fs::path>& files, int threads) {
  std::vector<std::string> digests(files.size());
  parallel_for(threads, 0, files.size(), 1, [&](std::size_t i) {
    try {
      digests[i] = of(files[i]);
    } catch (const IoError&) {
      if (::access(files[i].c_str(), R_OK) == 0) throw;  // there, but it changed or its disk failed
      digests[i] = "absent";
    }
  });
  return digests;
}

std::uint64_t FileDigests::bytes_read() const {
  return state_->bytes_read;
}

bool FileDigests::save() {
  State& state = *state_;
  const std::lock_guard lock{state.mutex};
  if (state.fresh.empty()) return true;
  if (state.cache.empty()) return false;
  try {
    make_folder(state.cache.parent_path());
    std::string bytes;
    const auto add = [&](const Entry& entry) {
      bytes.append(reinterpret_cast<const char*>(&entry), sizeof entry);
    };
    std::error_code unreadable;
    if (state.dead > most_dead || !fs::exists(state.cache, unreadable)) {
      bytes = magic;
      for (const auto& [place, entry] : state.known) add(entry);
      write_atomically(state.cache, bytes);
      state.dead = 0;
    } else {
      // One write: what another process adds at the same time comes before or behind it.
      for (const Entry& entry : state.fresh) add(entry);
      posix::write_all(posix::open_file(state.cache, O_WRONLY | O_APPEND), bytes, state.cache);
    }
  } catch (const Error&) {
    return false;
  }
  state.fresh.clear();
  return true;
}

}  // namespace deda
