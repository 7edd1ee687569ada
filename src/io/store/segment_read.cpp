// Reading a segment's columns with HDF5, and checking a freshly written segment. See segment_file.h.
#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/hash.h"
#include "core/posix_file.h"
#include "io/file_range.h"
#include "io/store/hdf5_handle.h"
#include "io/store/segment_file.h"

namespace deda::io {

namespace {

constexpr std::size_t differences_shown = 5;  // per rank

H5File open_file(const std::filesystem::path& path) {
  H5Plist access{H5Pcreate(H5P_FILE_ACCESS), "making file access properties"};
  // Finished segments never change: no lock is needed, and some shared file systems have none.
  check_hdf5(H5Pset_file_locking(access.get(), false, true), "switching off file locks");
  return H5File{H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get()), "opening the file"};
}

std::int64_t read_attribute(hid_t file, const char* name) {
  H5Attribute attribute{H5Aopen(file, name, H5P_DEFAULT), fmt::format("opening attribute {}", name)};
  H5Space space{H5Aget_space(attribute.get()), "asking for an attribute's shape"};
  if (H5Sget_simple_extent_npoints(space.get()) != 1)
    throw Hdf5Failure(fmt::format("attribute {} is not one number", name));
  std::int64_t value = 0;
  check_hdf5(H5Aread(attribute.get(), H5T_NATIVE_INT64, &value), fmt::format("reading attribute {}", name));
  return value;
}

void expect_attribute(hid_t file, const char* name, std::int64_t expected) {
  const std::int64_t value = read_attribute(file, name);
  if (value != expected)
    throw Hdf5Failure(fmt::format("attribute {} is {} instead of {}", name, value, expected));
}

std::vector<hsize_t> shape_of(hid_t dataset, const char* name) {
  H5Space space{H5Dget_space(dataset), "asking for a dataset's shape"};
  const int dimensions = H5Sget_simple_extent_ndims(space.get());
  if (dimensions < 1 || dimensions > 2)
    throw Hdf5Failure(fmt::format("dataset {} has {} dimensions", name, dimensions));
  std::vector<hsize_t> shape(static_cast<std::size_t>(dimensions));
  check_hdf5(H5Sget_simple_extent_dims(space.get(), shape.data(), nullptr), "asking for a dataset's shape");
  return shape;
}

H5Dataset open_dataset(hid_t file, const char* name, hid_t type) {
  H5Dataset dataset{H5Dopen2(file, name, H5P_DEFAULT), fmt::format("opening dataset {}", name)};
  H5Type there{H5Dget_type(dataset.get()), "asking for a dataset's type"};
  if (check_hdf5(H5Tequal(there.get(), type), "comparing types") == 0) {
    throw Hdf5Failure(fmt::format("dataset {} has another type of number than the schema says", name));
  }
  return dataset;
}

template <class Value>
void read_column(hid_t file, const ColumnType& type, std::size_t records, std::vector<Value>& values) {
  const H5Dataset dataset = open_dataset(file, type.name, type.in_file);
  std::vector<hsize_t> expected{records};
  if (type.values_per_record > 1) expected.push_back(type.values_per_record);
  if (shape_of(dataset.get(), type.name) != expected) {
    throw Hdf5Failure(fmt::format("dataset {} has another shape than {} records need", type.name, records));
  }
  values.resize(records * type.values_per_record);
  if (records == 0) return;
  check_hdf5(H5Dread(dataset.get(), type.in_memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()),
             fmt::format("reading column {}", type.name));
}

PixelsPlace place_of_pixels(hid_t file) {
  const H5Dataset pixels = open_dataset(file, pixels_dataset_name, H5T_STD_U8LE);
  const auto shape = shape_of(pixels.get(), pixels_dataset_name);
  const haddr_t offset = H5Dget_offset(pixels.get());
  if (shape.size() != 1 || offset == HADDR_UNDEF)
    throw Hdf5Failure("the pixels are not one contiguous row of bytes");
  return {offset, shape[0]};
}

SegmentFile read_with_hdf5(const std::filesystem::path& path, const SegmentIdentity& identity,
                           std::size_t records) {
  const auto lock = lock_hdf5();
  const H5File file = open_file(path);
  expect_attribute(file.get(), "schema_version", store_schema_version);
  expect_attribute(file.get(), "segment", identity.number);
  expect_attribute(file.get(), "first_item", identity.first_item);
  expect_attribute(file.get(), "item_count", identity.item_count);
  SegmentFile segment;
  segment.pixels = place_of_pixels(file.get());
  const H5Type outcome_type = outcome_enumeration();
  segment.columns.of_pictures = check_hdf5(H5Lexists(file.get(), first_column_of_pictures, H5P_DEFAULT),
                                           "looking for the columns of pictures") != 0;
  for_each_column(segment.columns, outcome_type.get(), [&](const ColumnType& type, auto& values) {
    read_column(file.get(), type, records, values);
  });
  if (!segment.columns.of_pictures) {
    segment.columns.source_class.assign(records, -1);
    segment.columns.target_class.assign(records, -1);
    segment.columns.clip_score.assign(records, not_measured);
  }
  return segment;
}

// Rank 0: the columns and the place of the pixels as a fresh look at the file finds them.
std::string difference_of_columns(const std::filesystem::path& path, const SegmentIdentity& identity,
                                  const SegmentPlan& plan, const PixelsPlace& place) {
  try {
    const SegmentFile found = read_with_hdf5(path, identity, plan.columns.size());
    if (found.pixels != place) return "the pixels lie elsewhere than they were written";
    if (found.columns != plan.columns) return "the columns differ from what was written";
    return {};
  } catch (const Hdf5Failure& failure) {
    return failure.what();
  }
}

// The record's pixels have their hash and the padding after them is zero.
std::string difference_of_record(const FileRange& file, const SegmentPlan& plan, std::size_t row,
                                 const PixelsPlace& place, std::vector<std::uint8_t>& buffer) {
  const std::uint64_t begin = plan.columns.offset[row], bytes = plan.columns.nbytes[row];
  buffer.resize(plan.end_of_record(row) - begin);
  file.read(place.offset + begin, buffer);
  const auto padding = buffer.begin() + static_cast<std::ptrdiff_t>(bytes);
  const bool same = xxhash64(std::span(buffer).first(bytes)) == plan.columns.hash[row] &&
                    std::all_of(padding, buffer.end(), [](std::uint8_t byte) { return byte == 0; });
  if (same) return {};
  return fmt::format("record {} (item of source {}, written by rank {}) came back with other bytes", row,
                     plan.columns.source_index[row], plan.owner[row]);
}

}  // namespace

std::vector<std::string> differences_from_plan(const comm::Communicator& ranks,
                                               const std::filesystem::path& path,
                                               const SegmentIdentity& identity, const SegmentPlan& plan,
                                               const PixelsPlace& place) {
  std::vector<std::string> mine;
  ranks.agree("checking a written segment", [&] {
    if (ranks.is_root()) {
      if (auto difference = difference_of_columns(path, identity, plan, place); !difference.empty())
        mine.push_back(difference);
    }
    const FileRange file{path};
    std::vector<std::uint8_t> buffer;
    for (std::size_t row = 0; row < plan.columns.size() && mine.size() < differences_shown; ++row) {
      if ((plan.owner[row] + 1) % ranks.size() != ranks.rank()) continue;
      if (auto difference = difference_of_record(file, plan, row, place, buffer); !difference.empty())
        mine.push_back(difference);
    }
  });
  std::vector<std::string> all;
  for (const std::string& text : ranks.all_gather(
           nlohmann::json(mine).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace))) {
    for (const auto& difference : nlohmann::json::parse(text)) all.push_back(difference.get<std::string>());
  }
  return all;
}

SegmentFile read_segment_file(const std::filesystem::path& path, const SegmentIdentity& identity,
                              std::size_t records) {
  try {
    return read_with_hdf5(path, identity, records);
  } catch (const Hdf5Failure& failure) {
    throw DataError(failure.what(), path.string(),
                    "Delete this file and run the stage that made it again: only its items are made anew.");
  }
}

}  // namespace deda::io
