// The manifest of a record store: what the store is made of and which segments are finished. Internal to
// src/io; the fields are described for people in src/io/README.md.
//
// Two files. manifest.json is replaced atomically: at creation with the description and `complete: false`, at
// the end with segments, remarks and totals. In between each finished segment adds one line to
// segments.jsonl, which is removed at the end; so the final folder does not show in which order, by how many
// ranks or after how many interruptions it was made. Every JSON object carries a seal, the xxHash64 of its
// own text, so that a flipped bit is noticed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "io/store/record_store.h"
#include "io/store/segment_file.h"

namespace deda::io {

// A finished segment as the manifest names it.
struct SegmentEntry {
  SegmentIdentity identity;
  std::string file;  // name in the folder
  std::uint64_t bytes = 0;
  std::uint64_t hash = 0;           // xxHash64 of the whole file (`xxhsum -H1` gives the same)
  std::uint64_t metadata_hash = 0;  // xxHash64 of the bytes before and after the pixels
  PixelsPlace pixels;
  std::size_t records = 0;
  std::vector<Remark> remarks;
};

struct Manifest {
  StoreDescription description;
  std::map<std::int64_t, SegmentEntry> segments;  // finished ones, by number
  bool complete = false;

  std::int64_t items() const { return static_cast<std::int64_t>(description.sources.size()); }
  std::int64_t segment_count() const;
  SegmentIdentity identity_of(std::int64_t segment) const;
  OutcomeCount outcomes() const;  // of the finished segments' items
};

std::string name_of_segment(std::int64_t segment);  // segment-000012.h5

// The description as JSON keeps it: bytes that are not UTF-8 are replaced. Two runs compare this form.
StoreDescription as_stored(const StoreDescription& description);
// DataError listing all that makes the description unusable.
void check_description(const StoreDescription& description);
// Every field in which two descriptions differ, in words.
std::vector<std::string> differences(const StoreDescription& there, const StoreDescription& wanted);

// One value for all fields, to compare ranks.
std::string description_hash(const StoreDescription& description);

bool manifest_exists(const std::filesystem::path& folder);
// Reads both files. A torn last line of segments.jsonl is dropped, and so, with a warning, is any other line
// that cannot be read: its segment counts as missing. Anything wrong in manifest.json is a DataError.
Manifest read_manifest_file(const std::filesystem::path& folder);  // manifest.json alone
Manifest read_manifest(const std::filesystem::path& folder);
// Replaces manifest.json by the description alone and segments.jsonl by the finished segments.
void write_open_manifest(const std::filesystem::path& folder, const Manifest& manifest);
bool journal_exists(const std::filesystem::path& folder);
void remove_journal(const std::filesystem::path& folder);
void append_segment(const std::filesystem::path& folder, const SegmentEntry& entry);
// Writes the complete manifest.json and removes segments.jsonl.
void write_complete_manifest(const std::filesystem::path& folder, const Manifest& manifest);

// Size and hashes of a written segment, by reading it once.
SegmentEntry measure_segment(const std::filesystem::path& path, const SegmentIdentity& identity,
                             const PixelsPlace& pixels);
// Why the file cannot be the one that the manifest names, judged by its size and the bytes outside the
// pixels; empty when it can. Never hands the file to HDF5.
std::string problem_of_segment(const std::filesystem::path& folder, const SegmentEntry& entry);

}  // namespace deda::io
