// The record store: a folder of immutable HDF5 segments and a manifest (schema: src/io/README.md).
//
// Items (images, CDPs) are numbered 0..n-1 and cut into segments of fixed membership, so the bytes do not
// depend on the number of ranks. One segment is written by all ranks together: layout agreed in item order,
// one collective write of the pixels, columns by rank 0; `.partial`, closed, verified (hash per record),
// synced, renamed, then named in the manifest. What the manifest names is finished and never lost; a kill
// costs the segment in flight.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "comm/communicator.h"

namespace deda::io {

enum class RecordKind : std::uint8_t { cdp = 0, cip = 1, picture = 2 };
enum class Outcome : std::uint8_t { done = 0, nothing_found = 1, unreadable = 2, rejected = 3, failed = 4 };
std::string_view name_of(Outcome outcome);

inline constexpr float not_measured = -1.0f;

struct RecordInfo {
  std::int64_t source_index = -1;  // item number: index of the picture in the dataset's list
  std::int32_t class_id = -1;
  RecordKind kind = RecordKind::cdp;
  // 4 = CDP (RGBA, straight alpha), 3 = CIP and whole picture (RGB)
  std::int32_t height = 0, width = 0, channels = 0;
  std::array<std::int32_t, 4> crop{};  // xyxy in source pixels, half open: where the record's pixels lie
  std::array<std::int32_t, 4> box{};   // xyxy of the mask in source pixels, half open
  std::int64_t mask_area = 0;          // pixels of the binary mask
  // How far the colours inside of the mask differ from those around it, 0..1 (decoupling/mask_quality.h); of
  // a CIP the lowest of its CDPs; not_measured of synthetic records.
  float mask_quality = not_measured;
  std::int32_t version = 0;  // 0 real, 1..K synthetic
  float strength = 0.0f;     // SDEdit strength of a synthetic record
  std::uint64_t seed = 0;
  std::uint8_t route = 0;  // index into StoreDescription::routes: which mask source made it
  Outcome outcome = Outcome::done;
  // Of whole pictures alone. `class_id` is the class of the picture that was edited; this is what it was
  // edited into, often the same.
  std::int32_t target_class = -1;
  float clip_score = not_measured;  // 0..1: what its filter goes by (src/generative)
};

struct Record {
  RecordInfo info;
  std::vector<std::uint8_t> pixels;  // [height, width, channels]
};

// What became of one item: its records (none unless done) and, if not done, the reason in words.
struct ItemResult {
  std::int64_t item = -1;
  Outcome outcome = Outcome::done;
  std::string reason;  // also notes of done items ("alpha dropped")
  std::vector<Record> records;
};

// What a store is made of, fixed at creation and kept in the manifest.
struct StoreDescription {
  std::string stage;          // "decouple", "generate"
  std::string key;            // of the content (src/pipeline): a folder continues only what has the same
  std::string configuration;  // JSON: the settings with an effect on the content
  std::string
      provenance;       // JSON (core/provenance.h), for people and reports; of the run that began the store
  std::string dataset;  // name for people
  std::vector<std::string> class_names;
  std::vector<std::string> routes;   // mask sources that RecordInfo::route counts; may be empty
  std::vector<std::string> sources;  // source path of every item, relative to the dataset
  std::vector<std::int32_t> source_classes;
  std::int64_t items_per_segment = 64;
};

class StoreWriter {
 public:
  // Collective. Opens `folder` or continues what is there; refuses (DataError) a folder made with another
  // description.
  StoreWriter(const comm::Communicator& ranks, const std::filesystem::path& folder,
              const StoreDescription& description);
  ~StoreWriter();
  bool complete() const;  // finish() was called, now or by an earlier run: nothing is left to do
  std::vector<std::int64_t> missing_segments() const;
  std::pair<std::int64_t, std::int64_t> items_of(std::int64_t segment) const;  // [first, last)
  // Collective: every item of the segment is in exactly one rank's `results`, in any order.
  void write_segment(std::int64_t segment, std::vector<ItemResult> results);
  // Collective: after the last segment writes totals, checks that counts add up, and marks the store
  // complete.
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// True when `folder` holds a finished store: its manifest says so, and every segment has the size and the
// metadata that it names. DataError when the manifest is damaged. What is missing, StoreWriter makes anew.
bool store_is_complete(const std::filesystem::path& folder);

// What a store is made of, from its manifest alone; it need not be finished.
StoreDescription read_description(const std::filesystem::path& folder);

// A record in place: pixels point into the mapped segment file.
struct RecordView {
  RecordInfo info;
  std::span<const std::uint8_t> pixels;
};

struct OutcomeCount {
  std::map<Outcome, std::int64_t> counts;
  std::int64_t items = 0;
};

// Maps every segment of a complete (or, when allowed, unfinished) store; no copy, no lock, safe from many
// threads.
class StoreReader {
 public:
  enum class Check { sizes, hashes };  // hashes: verify every record's xxHash64 on opening
  explicit StoreReader(const std::filesystem::path& folder, Check check = Check::sizes,
                       bool allow_unfinished = false);
  std::size_t size() const;                 // records
  RecordView at(std::size_t record) const;  // in item order, CDP before CIP, by version
  bool hash_matches(std::size_t record) const;
  const StoreDescription& description() const;
  OutcomeCount outcomes() const;
  // Outcome and reason of every item that is not simply done (and notes), by item number.
  const std::map<std::int64_t, std::pair<Outcome, std::string>>& remarks() const;
  const std::filesystem::path& folder() const;

 private:
  struct State;
  std::shared_ptr<const State> state_;
};

}  // namespace deda::io
