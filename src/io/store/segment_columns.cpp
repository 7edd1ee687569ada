#include "io/store/segment_columns.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace deda::io {

namespace {

constexpr std::array<Outcome, 5> all_outcomes{Outcome::done, Outcome::nothing_found, Outcome::unreadable,
                                              Outcome::rejected, Outcome::failed};
constexpr std::uint8_t last_kind = static_cast<std::uint8_t>(RecordKind::picture);
constexpr std::uint8_t last_outcome = static_cast<std::uint8_t>(Outcome::failed);

std::array<std::int32_t, 4> four_of(const std::vector<std::int32_t>& values, std::size_t row) {
  std::array<std::int32_t, 4> four{};
  std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(4 * row), 4, four.begin());
  return four;
}

}  // namespace

std::string_view name_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::done:
      return "done";
    case Outcome::nothing_found:
      return "nothing_found";
    case Outcome::unreadable:
      return "unreadable";
    case Outcome::rejected:
      return "rejected";
    case Outcome::failed:
      return "failed";
  }
  return "unknown";
}

H5Type outcome_enumeration() {
  H5Type type{H5Tenum_create(H5T_STD_U8LE), "making the enumeration of outcomes"};
  for (const Outcome outcome : all_outcomes) {
    const auto value = static_cast<std::uint8_t>(outcome);
    check_hdf5(H5Tenum_insert(type.get(), std::string{name_of(outcome)}.c_str(), &value),
               "naming an outcome");
  }
  return type;
}

void append_row(SegmentColumns& columns, const RecordInfo& info, std::uint64_t offset, std::uint64_t nbytes,
                std::uint64_t hash) {
  columns.offset.push_back(offset);
  columns.nbytes.push_back(nbytes);
  columns.height.push_back(info.height);
  columns.width.push_back(info.width);
  columns.channels.push_back(info.channels);
  columns.kind.push_back(static_cast<std::uint8_t>(info.kind));
  columns.source_index.push_back(info.source_index);
  columns.class_id.push_back(info.class_id);
  columns.outcome.push_back(static_cast<std::uint8_t>(info.outcome));
  columns.crop.insert(columns.crop.end(), info.crop.begin(), info.crop.end());
  columns.box.insert(columns.box.end(), info.box.begin(), info.box.end());
  columns.mask_area.push_back(info.mask_area);
  columns.mask_quality.push_back(info.mask_quality);
  columns.version.push_back(info.version);
  columns.strength.push_back(info.strength);
  columns.seed.push_back(info.seed);
  columns.route.push_back(info.route);
  columns.hash.push_back(hash);
  const bool is_picture = info.kind == RecordKind::picture;
  columns.of_pictures = columns.of_pictures || is_picture;
  columns.source_class.push_back(is_picture ? info.class_id : -1);
  columns.target_class.push_back(info.target_class);
  columns.clip_score.push_back(info.clip_score);
}

RecordInfo info_of_row(const SegmentColumns& columns, std::size_t row) {
  RecordInfo info;
  info.source_index = columns.source_index[row];
  info.class_id = columns.class_id[row];
  info.kind = static_cast<RecordKind>(columns.kind[row]);
  info.height = columns.height[row];
  info.width = columns.width[row];
  info.channels = columns.channels[row];
  info.crop = four_of(columns.crop, row);
  info.box = four_of(columns.box, row);
  info.mask_area = columns.mask_area[row];
  info.mask_quality = columns.mask_quality[row];
  info.version = columns.version[row];
  info.strength = columns.strength[row];
  info.seed = columns.seed[row];
  info.route = columns.route[row];
  info.outcome = static_cast<Outcome>(columns.outcome[row]);
  info.target_class = columns.target_class[row];
  info.clip_score = columns.clip_score[row];
  return info;
}

std::string problem_of(const RecordInfo& info, std::uint64_t nbytes, std::size_t class_count) {
  if (static_cast<std::uint8_t>(info.kind) > last_kind)
    return fmt::format("kind {} is unknown", static_cast<int>(info.kind));
  if (static_cast<std::uint8_t>(info.outcome) > last_outcome)
    return fmt::format("outcome {} is unknown", static_cast<int>(info.outcome));
  const bool sizes_possible =
      info.height >= 1 && info.width >= 1 && (info.channels == 1 || info.channels == 3 || info.channels == 4);
  if (!sizes_possible)
    return fmt::format("a size of {} x {} x {} is impossible", info.height, info.width, info.channels);
  // No overflow: two numbers below 2^31 and one of at most 4.
  const std::uint64_t expected = static_cast<std::uint64_t>(info.height) *
                                 static_cast<std::uint64_t>(info.width) *
                                 static_cast<std::uint64_t>(info.channels);
  if (nbytes != expected) {
    return fmt::format("{} bytes of pixels do not fit a size of {} x {} x {}", nbytes, info.height,
                       info.width, info.channels);
  }
  const bool class_possible =
      info.class_id >= -1 && (class_count == 0 || info.class_id < static_cast<std::int64_t>(class_count));
  if (!class_possible) return fmt::format("class {} is not one of {}", info.class_id, class_count);
  if (!std::isfinite(info.strength)) return fmt::format("strength {} is not a number", info.strength);
  if (!std::isfinite(info.mask_quality))
    return fmt::format("mask_quality {} is not a number", info.mask_quality);
  if (!std::isfinite(info.clip_score)) return fmt::format("clip_score {} is not a number", info.clip_score);
  if (info.kind != RecordKind::picture && (info.target_class != -1 || info.clip_score != not_measured))
    return "it has a target class or a score, which only whole pictures have";
  if (info.target_class < -1 ||
      (class_count > 0 && info.target_class >= static_cast<std::int64_t>(class_count)))
    return fmt::format("target class {} is not one of {}", info.target_class, class_count);
  return {};
}

std::string problem_of_row(const SegmentColumns& columns, std::size_t row, std::uint64_t pixels_bytes,
                           std::size_t class_count) {
  const std::uint64_t offset = columns.offset[row], nbytes = columns.nbytes[row];
  if (offset > pixels_bytes || nbytes > pixels_bytes - offset) {
    return fmt::format("bytes {} + {} lie outside the {} bytes of pixels", offset, nbytes, pixels_bytes);
  }
  return problem_of(info_of_row(columns, row), nbytes, class_count);
}

}  // namespace deda::io
