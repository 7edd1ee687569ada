// StoreReader: every segment mapped, every claim of its columns checked before anybody follows it.
#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "core/hash.h"
#include "io/mapped_file.h"
#include "io/store/record_store.h"
#include "io/store/segment_file.h"
#include "io/store/store_manifest.h"

namespace deda::io {

namespace {

constexpr std::size_t problems_shown = 20;
constexpr const char* remake_hint =
    "Run the stage that made the store again: it makes only this segment anew.";
constexpr const char* damaged_pixels_hint =
    "Delete this file and run the stage that made the store again: it makes only this segment anew.";

// Collects what is wrong with the store; says all of it at once.
class Problems {
 public:
  void add(std::string what, std::string where, std::string hint) {
    ++count_;
    if (shown_.size() < problems_shown)
      shown_.push_back({std::move(what), std::move(where), std::move(hint)});
  }
  bool full() const { return count_ >= problems_shown; }
  void throw_if_any() {
    if (count_ > 0) throw DataError(std::move(shown_));
  }

 private:
  std::size_t count_ = 0;
  std::vector<Problem> shown_;
};

}  // namespace

struct StoreReader::State {
  std::filesystem::path folder;
  Manifest manifest;
  std::vector<MappedFile> files;  // one per finished segment
  std::vector<RecordInfo> infos;
  std::vector<const std::uint8_t*> pixels;  // into the mapped files
  std::vector<std::uint64_t> hashes;
  OutcomeCount outcomes;
  std::map<std::int64_t, std::pair<Outcome, std::string>> remarks;

  static std::size_t bytes_of(const RecordInfo& info) {
    return static_cast<std::size_t>(info.height) * static_cast<std::size_t>(info.width) *
           static_cast<std::size_t>(info.channels);
  }
  std::span<const std::uint8_t> pixels_of(std::size_t record) const {
    return {pixels[record], bytes_of(infos[record])};
  }
  bool hash_matches(std::size_t record) const { return xxhash64(pixels_of(record)) == hashes[record]; }

  void add_segment(const SegmentEntry& entry, Check check, Problems& problems) {
    const std::filesystem::path path = folder / entry.file;
    if (const std::string problem = problem_of_segment(folder, entry); !problem.empty()) {
      problems.add(problem, path.string(), remake_hint);
      return;
    }
    SegmentFile segment;
    try {
      segment = read_segment_file(path, entry.identity, entry.records);
    } catch (const DataError& error) {
      for (const Problem& problem : error.problems()) problems.add(problem.what, problem.where, problem.hint);
      return;
    }
    if (segment.pixels != entry.pixels) {
      problems.add("the pixels lie elsewhere than the manifest says", path.string(), remake_hint);
      return;
    }
    MappedFile file{path, MappedFile::Access::random, entry.bytes};
    const std::size_t first = infos.size();
    if (!add_records(segment, file, path, problems)) return;
    if (check == Check::hashes) check_hashes(entry, file, first, path, problems);
    files.push_back(std::move(file));
    for (const Remark& remark : entry.remarks) remarks[remark.item] = {remark.outcome, remark.reason};
  }

  bool add_records(const SegmentFile& segment, const MappedFile& file, const std::filesystem::path& path,
                   Problems& problems) {
    bool good = true;
    for (std::size_t row = 0; row < segment.columns.size(); ++row) {
      const std::string problem =
          problem_of_row(segment.columns, row, segment.pixels.bytes, manifest.description.class_names.size());
      if (problem.empty()) continue;
      good = false;
      problems.add(fmt::format("record {}: {}", row, problem), path.string(), damaged_pixels_hint);
    }
    if (!good) return false;
    const std::uint8_t* base = file.bytes().data() + segment.pixels.offset;
    for (std::size_t row = 0; row < segment.columns.size(); ++row) {
      infos.push_back(info_of_row(segment.columns, row));
      pixels.push_back(base + segment.columns.offset[row]);
      hashes.push_back(segment.columns.hash[row]);
    }
    return true;
  }

  // The whole file first: one pass when all is well. Record by record only to name what is not.
  void check_hashes(const SegmentEntry& entry, const MappedFile& file, std::size_t first,
                    const std::filesystem::path& path, Problems& problems) {
    if (xxhash64(file.bytes()) == entry.hash) return;
    bool named = false;
    for (std::size_t record = first; record < infos.size(); ++record) {
      if (hash_matches(record)) continue;
      named = true;
      problems.add(fmt::format("record {} (source {}): its pixels do not have the hash that was written",
                               record - first, infos[record].source_index),
                   path.string(), damaged_pixels_hint);
    }
    if (!named) problems.add("bytes between the records are damaged", path.string(), damaged_pixels_hint);
  }
};

bool store_is_complete(const std::filesystem::path& folder) {
  if (!manifest_exists(folder)) return false;
  const Manifest manifest = read_manifest_file(folder);
  return manifest.complete &&
         std::all_of(manifest.segments.begin(), manifest.segments.end(), [&](const auto& numbered) {
           return problem_of_segment(folder, numbered.second).empty();
         });
}

StoreReader::StoreReader(const std::filesystem::path& folder, Check check, bool allow_unfinished) {
  auto state = std::make_shared<State>();
  state->folder = folder;
  if (!manifest_exists(folder)) {
    throw DataError("there is no record store (no manifest.json)", folder.string(),
                    "Check the path; stages write a store to their output folder.");
  }
  state->manifest = read_manifest(folder);
  const Manifest& manifest = state->manifest;
  if (!manifest.complete && !allow_unfinished) {
    throw DataError(fmt::format("the store is not finished: {} of {} segments", manifest.segments.size(),
                                manifest.segment_count()),
                    folder.string(), "Run the stage that makes it again: it continues.");
  }
  Problems problems;
  for (const auto& [number, entry] : manifest.segments) {
    if (!problems.full()) state->add_segment(entry, check, problems);
  }
  problems.throw_if_any();
  state->outcomes = manifest.outcomes();
  state_ = std::move(state);
}

std::size_t StoreReader::size() const {
  return state_->infos.size();
}

RecordView StoreReader::at(std::size_t record) const {
  if (record >= size())
    throw DataError(fmt::format("record {} is not one of {}", record, size()), state_->folder.string());
  return {state_->infos[record], state_->pixels_of(record)};
}

bool StoreReader::hash_matches(std::size_t record) const {
  static_cast<void>(at(record));
  return state_->hash_matches(record);
}

const StoreDescription& StoreReader::description() const {
  return state_->manifest.description;
}

OutcomeCount StoreReader::outcomes() const {
  return state_->outcomes;
}

const std::map<std::int64_t, std::pair<Outcome, std::string>>& StoreReader::remarks() const {
  return state_->remarks;
}

const std::filesystem::path& StoreReader::folder() const {
  return state_->folder;
}

}  // namespace deda::io
