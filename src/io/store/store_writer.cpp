// StoreWriter: opening or continuing a store, and the steps that make a segment count as finished.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"
#include "core/log.h"
#include "io/store/folder_lock.h"
#include "io/store/record_store.h"
#include "io/store/segment_file.h"
#include "io/store/segment_plan.h"
#include "io/store/store_manifest.h"

namespace deda::io {

namespace {

constexpr int write_attempts = 2;
constexpr std::string_view partial_mark = ".partial";

// Whether write_atomically() left it: NAME.partial.PROCESS, of any file (the store's, a stage's looks).
bool is_half_written(const std::string& name) {
  const auto mark = name.rfind(partial_mark);
  if (mark == std::string::npos) return false;
  const std::string process = name.substr(mark + partial_mark.size());
  return process.size() > 1 && process[0] == '.' &&
         process.find_first_not_of("0123456789", 1) == std::string::npos;
}

// Files that a killed run left half made; what others keep in the folder is not ours to remove.
std::vector<std::filesystem::path> partial_files(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> paths;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    const bool is_segment = name.starts_with("segment") && name.ends_with(partial_mark);
    if ((is_segment || is_half_written(name)) && entry.is_regular_file(error))
      paths.push_back(entry.path());
  }
  return paths;
}

void refuse_other_description(const std::filesystem::path& folder, const StoreDescription& there,
                              const StoreDescription& wanted) {
  std::vector<Problem> problems;
  for (const std::string& difference : differences(there, wanted)) {
    problems.push_back(
        {difference, folder.string(), "Name another folder, or delete this one to make it anew."});
  }
  if (!problems.empty()) throw DataError(std::move(problems));
}

// Takes segments whose files are missing or damaged out of the list, so that they are made again.
void drop_damaged_segments(const std::filesystem::path& folder, Manifest& manifest) {
  std::erase_if(manifest.segments, [&](const auto& numbered) {
    const std::string problem = problem_of_segment(folder, numbered.second);
    if (problem.empty()) return false;
    log_warning("{}: {}. This segment is made again.", (folder / numbered.second.file).string(), problem);
    return true;
  });
  if (static_cast<std::int64_t>(manifest.segments.size()) != manifest.segment_count())
    manifest.complete = false;
}

bool all_segments_are_good(const std::filesystem::path& folder, const Manifest& manifest) {
  return std::all_of(manifest.segments.begin(), manifest.segments.end(), [&](const auto& numbered) {
    return problem_of_segment(folder, numbered.second).empty();
  });
}

}  // namespace

struct StoreWriter::State {
  comm::Communicator ranks;
  std::filesystem::path folder;
  Manifest manifest;                 // entries only on rank 0
  std::set<std::int64_t> finished;   // numbers of finished segments
  std::unique_ptr<FolderLock> lock;  // rank 0, unless there is nothing to write

  // Rank 0: reads what is there, or starts anew.
  void open(const StoreDescription& description) {
    make_folder(folder);
    if (manifest_exists(folder)) {
      // A finished store is only looked at: no lock, so that it may lie on a disk that cannot be written.
      manifest = read_manifest_file(folder);
      refuse_other_description(folder, manifest.description, description);
      if (manifest.complete && nothing_to_tidy() && all_segments_are_good(folder, manifest)) return;
    }
    lock = std::make_unique<FolderLock>(folder);
    for (const auto& path : partial_files(folder)) std::filesystem::remove(path);
    // Again under the lock: another run may just have finished it.
    if (manifest_exists(folder)) {
      manifest = read_manifest(folder);
      refuse_other_description(folder, manifest.description, description);
      drop_damaged_segments(folder, manifest);
    } else {
      manifest = {};
      manifest.description = description;
    }
    if (manifest.complete) {
      remove_journal(folder);
    } else {
      write_open_manifest(folder, manifest);
    }
  }
  // A killed writer may have left its lock file as the last thing.
  bool nothing_to_tidy() const {
    return partial_files(folder).empty() && !journal_exists(folder) &&
           !std::filesystem::exists(lock_path(folder));
  }

  void check_same_description_everywhere(const StoreDescription& description) {
    const auto hashes = ranks.all_gather(description_hash(description));
    for (std::size_t rank = 0; rank < hashes.size(); ++rank) {
      if (hashes[rank] != hashes[0]) {
        throw DataError(fmt::format("rank {} describes the store otherwise than rank 0", rank),
                        folder.string(), "All ranks have to read the same configuration and dataset.");
      }
    }
  }

  void share_progress() {
    nlohmann::json text = {{"finished", nlohmann::json::array()}, {"complete", manifest.complete}};
    for (const auto& [number, entry] : manifest.segments) text["finished"].push_back(number);
    text = nlohmann::json::parse(ranks.broadcast(text.dump()));
    manifest.complete = text["complete"].get<bool>();
    finished = text["finished"].get<std::set<std::int64_t>>();
  }

  // Writes `partial` and checks it; once more when the check fails. Returns where the pixels lie.
  PixelsPlace write_checked(const std::filesystem::path& partial, const SegmentIdentity& identity,
                            const SegmentPlan& plan) {
    std::vector<std::string> found;
    for (int attempt = 0; attempt < write_attempts; ++attempt) {
      const PixelsPlace place = write_segment_file(ranks, partial, identity, plan);
      found = differences_from_plan(ranks, partial, identity, plan, place);
      if (found.empty()) return place;
      if (ranks.is_root())
        log_warning("{}: written wrongly (attempt {}): {}", partial.string(), attempt + 1, found.front());
    }
    throw IoError(
        "the file came back with other content than was written: " + found.front(), partial.string(),
        "The file system or MPI-IO has a fault. With Open MPI 4.1 set OMPI_MCA_fs_ufs_lock_algorithm=3.");
  }

  // Rank 0: the written file becomes a finished segment.
  void name_segment(const std::filesystem::path& partial, const SegmentIdentity& identity,
                    const SegmentPlan& plan, const PixelsPlace& place) {
    SegmentEntry entry = measure_segment(partial, identity, place);
    entry.records = plan.columns.size();
    entry.remarks = plan.remarks;
    rename_durably(partial, folder / entry.file);
    append_segment(folder, entry);
    manifest.segments.insert_or_assign(identity.number, std::move(entry));
  }
};

StoreWriter::StoreWriter(const comm::Communicator& ranks, const std::filesystem::path& folder,
                         const StoreDescription& description)
    : state_{new State{.ranks = ranks, .folder = folder, .manifest = {}, .finished = {}, .lock = nullptr}} {
  StoreDescription stored;
  ranks.agree("describing a store", [&] { stored = as_stored(description); });
  state_->check_same_description_everywhere(stored);
  ranks.agree("opening a store", [&] {
    if (ranks.is_root()) {
      state_->open(stored);
    } else {
      state_->manifest.description = stored;
    }
  });
  state_->share_progress();
}

StoreWriter::~StoreWriter() = default;

bool StoreWriter::complete() const {
  return state_->manifest.complete;
}

std::vector<std::int64_t> StoreWriter::missing_segments() const {
  std::vector<std::int64_t> missing;
  for (std::int64_t segment = 0; segment < state_->manifest.segment_count(); ++segment) {
    if (!state_->finished.contains(segment)) missing.push_back(segment);
  }
  return missing;
}

std::pair<std::int64_t, std::int64_t> StoreWriter::items_of(std::int64_t segment) const {
  const SegmentIdentity identity = state_->manifest.identity_of(segment);
  return {identity.first_item, identity.first_item + identity.item_count};
}

void StoreWriter::write_segment(std::int64_t segment, std::vector<ItemResult> results) {
  State& state = *state_;
  if (segment < 0 || segment >= state.manifest.segment_count()) {
    throw DataError(fmt::format("segment {} is not one of {}", segment, state.manifest.segment_count()),
                    state.folder.string());
  }
  if (state.finished.contains(segment)) {
    throw DataError(fmt::format("segment {} is finished already", segment), state.folder.string());
  }
  const SegmentIdentity identity = state.manifest.identity_of(segment);
  const SegmentPlan plan =
      plan_segment(state.ranks, identity, results, state.manifest.description.class_names.size());
  const std::filesystem::path partial = state.folder / (name_of_segment(segment) + std::string{partial_mark});
  const PixelsPlace place = state.write_checked(partial, identity, plan);
  // Each host has its own share of the file in its cache.
  state.ranks.agree("syncing a segment", [&] {
    if (state.ranks.local_rank() == 0) sync_path(partial);
  });
  state.ranks.agree("naming a segment", [&] {
    if (state.ranks.is_root()) state.name_segment(partial, identity, plan, place);
  });
  state.finished.insert(segment);
}

void StoreWriter::finish() {
  State& state = *state_;
  if (state.manifest.complete) return;
  if (const auto missing = missing_segments(); !missing.empty()) {
    throw DataError(fmt::format("{} segments are missing, the first is {}", missing.size(), missing.front()),
                    state.folder.string(), "Run the same command to continue.");
  }
  state.ranks.agree("finishing a store", [&] {
    if (!state.ranks.is_root()) return;
    const OutcomeCount count = state.manifest.outcomes();
    if (count.items != state.manifest.items() || count.counts.at(Outcome::done) < 0) {
      throw DataError(
          fmt::format("the outcomes of {} items do not add up to {}", count.items, state.manifest.items()),
          state.folder.string());
    }
    write_complete_manifest(state.folder, state.manifest);
  });
  state.manifest.complete = true;
}

}  // namespace deda::io
