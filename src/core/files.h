// Files that survive a crash: write beside, sync, rename, sync the folder.
// Why: a thing exists only when it is complete (design, promise 2; section 4).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace deda {

namespace fs = std::filesystem;

// Whole file as text. Throws IoError (names path and reason); DataError when larger than max_bytes.
std::string read_text(const fs::path& path, std::uint64_t max_bytes = 1ull << 30);
std::vector<std::uint8_t> read_bytes(const fs::path& path, std::uint64_t max_bytes = 1ull << 32);
// Writes `name.partial.<pid>`, checks each write (EINTR and short writes retried), fsyncs, renames over
// `path`, fsyncs the folder. On any failure the old file is untouched and IoError names path and reason (disk
// full, permission).
void write_atomically(const fs::path& path, std::string_view bytes);
// The pieces end to end: what is in memory in several places need not be copied together.
void write_atomically(const fs::path& path, const std::vector<std::string_view>& pieces);
// Appends one line in a single O_APPEND write and fsyncs it when `sync`. Adds the newline.
void append_line(const fs::path& path, std::string_view line, bool sync = false);
// fsync of a file or folder by path.
void sync_path(const fs::path& path);
// Renames and syncs the folder.
void rename_durably(const fs::path& from, const fs::path& to);
// mkdir -p; IoError with the reason and a hint when it cannot.
void make_folder(const fs::path& path);

}  // namespace deda
