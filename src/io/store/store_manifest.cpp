#include "io/store/store_manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

#include "core/error.h"
#include "io/file_range.h"

namespace deda::io {

namespace {

constexpr std::int64_t items_per_segment_limit = 1'000'000;

// The bytes outside the pixels.
std::array<std::pair<std::uint64_t, std::uint64_t>, 2> metadata_ranges(const PixelsPlace& pixels,
                                                                       std::uint64_t bytes) {
  return {{{0, pixels.offset}, {pixels.offset + pixels.bytes, bytes}}};
}

template <class Value>
void note_difference(std::vector<std::string>& notes, std::string_view field, const Value& there,
                     const Value& wanted) {
  if (there != wanted)
    notes.push_back(fmt::format("{}: the store has \"{}\", this run wants \"{}\"", field, there, wanted));
}

template <class Value>
void note_list_difference(std::vector<std::string>& notes, std::string_view field,
                          const std::vector<Value>& there, const std::vector<Value>& wanted) {
  if (there.size() != wanted.size()) {
    notes.push_back(
        fmt::format("{}: the store has {}, this run wants {}", field, there.size(), wanted.size()));
    return;
  }
  const auto [first, second] = std::mismatch(there.begin(), there.end(), wanted.begin());
  if (first == there.end()) return;
  notes.push_back(fmt::format("{}: number {} is \"{}\" in the store and \"{}\" in this run", field,
                              first - there.begin(), *first, *second));
}

}  // namespace

std::int64_t Manifest::segment_count() const {
  return (items() + description.items_per_segment - 1) / description.items_per_segment;
}

SegmentIdentity Manifest::identity_of(std::int64_t segment) const {
  const std::int64_t first = segment * description.items_per_segment;
  return {segment, first, std::min(description.items_per_segment, items() - first)};
}

OutcomeCount Manifest::outcomes() const {
  OutcomeCount count;
  for (const auto& [number, entry] : segments) {
    count.items += entry.identity.item_count;
    for (const Remark& remark : entry.remarks) {
      if (remark.outcome != Outcome::done) ++count.counts[remark.outcome];
    }
  }
  std::int64_t others = 0;
  for (const auto& [outcome, number] : count.counts) others += number;
  count.counts[Outcome::done] = count.items - others;
  return count;
}

std::string name_of_segment(std::int64_t segment) {
  return fmt::format("segment-{:06}.h5", segment);
}

void check_description(const StoreDescription& description) {
  std::vector<Problem> problems;
  const auto item_limit = static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max());
  if (description.items_per_segment < 1 || description.items_per_segment > items_per_segment_limit) {
    problems.push_back({fmt::format("items_per_segment is {}", description.items_per_segment), "store",
                        fmt::format("Choose 1 to {}.", items_per_segment_limit)});
  }
  if (description.sources.size() > item_limit)
    problems.push_back({fmt::format("{} items are too many", description.sources.size()), "store", {}});
  if (description.source_classes.size() != description.sources.size()) {
    problems.push_back({fmt::format("{} sources have {} classes", description.sources.size(),
                                    description.source_classes.size()),
                        "store",
                        {}});
  }
  if (!problems.empty()) throw DataError(std::move(problems));
}

std::vector<std::string> differences(const StoreDescription& there, const StoreDescription& wanted) {
  std::vector<std::string> notes;
  note_difference(notes, "stage", there.stage, wanted.stage);
  note_difference(notes, "key", there.key, wanted.key);
  note_difference(notes, "configuration", there.configuration, wanted.configuration);
  note_difference(notes, "items per segment", there.items_per_segment, wanted.items_per_segment);
  note_list_difference(notes, "class names", there.class_names, wanted.class_names);
  note_list_difference(notes, "routes", there.routes, wanted.routes);
  note_list_difference(notes, "sources", there.sources, wanted.sources);
  note_list_difference(notes, "classes of the sources", there.source_classes, wanted.source_classes);
  return notes;
}

SegmentEntry measure_segment(const std::filesystem::path& path, const SegmentIdentity& identity,
                             const PixelsPlace& pixels) {
  const FileRange file{path};
  SegmentEntry entry;
  entry.identity = identity;
  entry.file = name_of_segment(identity.number);
  entry.bytes = file.size();
  entry.pixels = pixels;
  entry.hash = file.hash_of_all();
  entry.metadata_hash = file.hash_of(metadata_ranges(pixels, entry.bytes));
  return entry;
}

std::string problem_of_segment(const std::filesystem::path& folder, const SegmentEntry& entry) {
  const std::filesystem::path path = folder / entry.file;
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return "the file is missing";
  const FileRange file{path};
  if (file.size() != entry.bytes)
    return fmt::format("the file has {} bytes, the manifest says {}", file.size(), entry.bytes);
  if (entry.pixels.offset > entry.bytes || entry.pixels.bytes > entry.bytes - entry.pixels.offset) {
    return "the manifest places the pixels outside the file";
  }
  if (file.hash_of(metadata_ranges(entry.pixels, entry.bytes)) != entry.metadata_hash) {
    return "the bytes outside the pixels are damaged (metadata_hash differs)";
  }
  return {};
}

}  // namespace deda::io
