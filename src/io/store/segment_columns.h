// The columns of a store segment as they lie in the file: names, types and order in one place, for writer and
// reader. Internal to src/io. Schema for people: src/io/README.md.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "io/store/hdf5_handle.h"
#include "io/store/record_store.h"

namespace deda::io {

inline constexpr std::int32_t store_schema_version = 3;
inline constexpr std::uint64_t record_alignment = 64;  // bytes; a record starts on a cache line
inline constexpr std::uint64_t pixels_alignment =
    4096;  // bytes; the pixels start on a page and fill whole pages
inline constexpr const char* pixels_dataset_name = "pixels";
inline constexpr const char* first_column_of_pictures = "source_class";

// One value per record and column, in file order; `crop` and `box` have four (xyxy).
struct SegmentColumns {
  std::vector<std::uint64_t> offset, nbytes, hash, seed;
  std::vector<std::int32_t> height, width, channels, class_id, version, crop, box;
  std::vector<std::int64_t> source_index, mask_area;
  std::vector<std::uint8_t> kind, outcome, route;
  std::vector<float> strength, mask_quality;
  // Columns that only segments with whole pictures have; of others all are -1.
  bool of_pictures = false;
  std::vector<std::int32_t> source_class, target_class;
  std::vector<float> clip_score;

  std::size_t size() const { return offset.size(); }
  bool operator==(const SegmentColumns&) const = default;
};

// What HDF5 has to know of one column.
struct ColumnType {
  const char* name;
  hid_t in_file;  // H5T_STD_..., little endian whatever the machine
  hid_t in_memory;
  std::size_t values_per_record = 1;
};

// Calls visit(ColumnType, vector) for every column in the order of the file. `outcome_type` is
// outcome_enumeration().
template <class Columns, class Visit>
void for_each_column(Columns& columns, hid_t outcome_type, Visit visit) {
  visit(ColumnType{"offset", H5T_STD_U64LE, H5T_NATIVE_UINT64}, columns.offset);
  visit(ColumnType{"nbytes", H5T_STD_U64LE, H5T_NATIVE_UINT64}, columns.nbytes);
  visit(ColumnType{"height", H5T_STD_I32LE, H5T_NATIVE_INT32}, columns.height);
  visit(ColumnType{"width", H5T_STD_I32LE, H5T_NATIVE_INT32}, columns.width);
  visit(ColumnType{"channels", H5T_STD_I32LE, H5T_NATIVE_INT32}, columns.channels);
  visit(ColumnType{"kind", H5T_STD_U8LE, H5T_NATIVE_UINT8}, columns.kind);
  visit(ColumnType{"source_index", H5T_STD_I64LE, H5T_NATIVE_INT64}, columns.source_index);
  visit(ColumnType{"class", H5T_STD_I32LE, H5T_NATIVE_INT32}, columns.class_id);
  visit(ColumnType{"outcome", outcome_type, outcome_type}, columns.outcome);
  visit(ColumnType{"crop", H5T_STD_I32LE, H5T_NATIVE_INT32, 4}, columns.crop);
  visit(ColumnType{"box", H5T_STD_I32LE, H5T_NATIVE_INT32, 4}, columns.box);
  visit(ColumnType{"mask_area", H5T_STD_I64LE, H5T_NATIVE_INT64}, columns.mask_area);
  visit(ColumnType{"mask_quality", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT}, columns.mask_quality);
  visit(ColumnType{"version", H5T_STD_I32LE, H5T_NATIVE_INT32}, columns.version);
  visit(ColumnType{"strength", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT}, columns.strength);
  visit(ColumnType{"seed", H5T_STD_U64LE, H5T_NATIVE_UINT64}, columns.seed);
  visit(ColumnType{"route", H5T_STD_U8LE, H5T_NATIVE_UINT8}, columns.route);
  visit(ColumnType{"hash", H5T_STD_U64LE, H5T_NATIVE_UINT64}, columns.hash);
  if (!columns.of_pictures) return;
  visit(ColumnType{first_column_of_pictures, H5T_STD_I32LE, H5T_NATIVE_INT32}, columns.source_class);
  visit(ColumnType{"target_class", H5T_STD_I32LE, H5T_NATIVE_INT32}, columns.target_class);
  visit(ColumnType{"clip_score", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT}, columns.clip_score);
}

// A new HDF5 enumeration of 8 bits with the names of Outcome.
H5Type outcome_enumeration();

void append_row(SegmentColumns& columns, const RecordInfo& info, std::uint64_t offset, std::uint64_t nbytes,
                std::uint64_t hash);
// The description of one record. Call only where problem_of_row() is empty.
RecordInfo info_of_row(const SegmentColumns& columns, std::size_t row);

// What is wrong with the sizes, kind, outcome or class of a record; empty when nothing is. `class_count` 0:
// not known.
std::string problem_of(const RecordInfo& info, std::uint64_t nbytes, std::size_t class_count);
// The same for one row of a file, whose numbers may be anything, and whether it lies inside the pixels.
std::string problem_of_row(const SegmentColumns& columns, std::size_t row, std::uint64_t pixels_bytes,
                           std::size_t class_count);

}  // namespace deda::io
