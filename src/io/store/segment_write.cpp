// Writing one segment with parallel HDF5. See segment_file.h.
//
// Every rank makes the same collective HDF5 calls whatever fails on the way; failures are kept and agreed on
// afterwards, because a rank that left early would let the others wait inside MPI-IO. Where MPI-IO itself
// leaves them waiting (Open MPI does when one of several writing ranks meets a full disk), HangGuard ends the
// job.
#include <fcntl.h>
#include <fmt/format.h>
#include <mpi.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "comm/mpi_handle.h"
#include "core/error.h"
#include "core/posix_file.h"
#include "io/store/hang_guard.h"
#include "io/store/hdf5_handle.h"
#include "io/store/segment_file.h"

namespace deda::io {

namespace {

// Links of the root group stay in its header up to this number: no heap and no tree for some twenty datasets.
constexpr unsigned root_links_in_header = 64;
constexpr unsigned root_link_name_length = 12;
// Upper bound of what HDF5 adds to pixels and columns: superblock, headers, alignment of the columns.
constexpr std::uint64_t metadata_allowance = 128 * 1024;
constexpr std::uint64_t column_bytes_per_record = 128;

// A piece of the pixels that this rank writes: `source_bytes` from `source`, then zeros up to `bytes`.
struct Piece {
  std::uint64_t offset = 0, bytes = 0;
  const std::uint8_t* source = nullptr;
  std::uint64_t source_bytes = 0;
};

std::vector<Piece> own_pieces(const comm::Communicator& ranks, const SegmentPlan& plan) {
  std::vector<Piece> pieces;
  for (const OwnRecord& record : plan.own) {
    const std::uint64_t offset = plan.columns.offset[record.row];
    pieces.push_back(
        {offset, plan.end_of_record(record.row) - offset, record.pixels->data(), record.pixels->size()});
  }
  // No record at all: somebody has to write the one page of zeros.
  if (plan.columns.size() == 0 && ranks.is_root()) pieces.push_back({0, plan.pixels_bytes, nullptr, 0});
  return pieces;
}

// Cuts the pieces into rounds of at most `limit` bytes each, so that a rank's share may exceed what one
// MPI-IO call takes.
std::vector<std::vector<Piece>> rounds_of(const std::vector<Piece>& pieces, std::uint64_t limit) {
  std::vector<std::vector<Piece>> rounds;
  std::uint64_t room = 0;
  for (Piece piece : pieces) {
    while (piece.bytes > 0) {
      if (room == 0) {
        rounds.emplace_back();
        room = limit;
      }
      Piece part = piece;
      part.bytes = std::min(piece.bytes, room);
      part.source_bytes = std::min(piece.source_bytes, part.bytes);
      rounds.back().push_back(part);
      room -= part.bytes;
      piece.offset += part.bytes;
      piece.bytes -= part.bytes;
      piece.source_bytes -= part.source_bytes;
      if (piece.source != nullptr) piece.source += part.source_bytes;
    }
  }
  return rounds;
}

std::vector<std::uint8_t> buffer_of(const std::vector<Piece>& round) {
  std::uint64_t bytes = 0;
  for (const Piece& piece : round) bytes += piece.bytes;
  std::vector<std::uint8_t> buffer(bytes);  // zeros: the padding
  std::uint8_t* target = buffer.data();
  for (const Piece& piece : round) {
    if (piece.source_bytes > 0) std::memcpy(target, piece.source, piece.source_bytes);
    target += piece.bytes;
  }
  return buffer;
}

// Selects in `space` the union of the pieces; neighbours become one hyperslab.
void select_pieces(hid_t space, const std::vector<Piece>& round) {
  check_hdf5(H5Sselect_none(space), "selecting nothing");
  H5S_seloper_t operation = H5S_SELECT_SET;
  for (std::size_t first = 0; first < round.size();) {
    const hsize_t start = round[first].offset;
    hsize_t end = start;
    for (; first < round.size() && round[first].offset == end; ++first) end += round[first].bytes;
    const hsize_t count = end - start;
    check_hdf5(H5Sselect_hyperslab(space, operation, &start, nullptr, &count, nullptr), "selecting records");
    operation = H5S_SELECT_OR;
  }
}

// Asks the file system for the room that the segment will need, because HDF5 and MPI-IO recover badly from a
// full disk. File systems that cannot tell are believed to have it.
void allocate(const posix::FileDescriptor& file, int mode, std::uint64_t bytes,
              const std::filesystem::path& path) {
  int result = 0;
  do {
    result = ::fallocate(file.get(), mode, 0, static_cast<off_t>(bytes));
  } while (result != 0 && errno == EINTR);
  if (result == 0 || errno == EOPNOTSUPP || errno == ENOSYS) return;
  throw posix::system_error(fmt::format("reserve {} bytes for", bytes), path, errno);
}

// Before HDF5 is called: there is nothing to clean up yet when this fails.
void make_file_with_room(const std::filesystem::path& path, std::uint64_t bytes) {
  const auto file = posix::open_file(path, O_RDWR | O_CREAT | O_TRUNC);
  try {
    allocate(file, 0, bytes, path);
  } catch (...) {
    ::unlink(path.c_str());
    throw;
  }
}

// After HDF5 has cut the file to nothing: keeps the room until the data come.
void keep_room(const std::filesystem::path& path, std::uint64_t bytes) {
  allocate(posix::open_file(path, O_RDWR), FALLOC_FL_KEEP_SIZE, bytes, path);
}

// A node that does not see the file that rank 0 made has another disk mounted there.
void check_that_file_is_shared(const std::filesystem::path& path) {
  try {
    static_cast<void>(posix::open_file(path, O_RDWR));
  } catch (const IoError& error) {
    throw IoError(
        "this rank cannot open the segment that rank 0 has just made: " + error.problems().front().what,
        path.string(), "The output folder has to be on a file system that all nodes share.");
  }
}

H5File create_file(const comm::Communicator& ranks, const std::filesystem::path& path) {
  H5Plist access{H5Pcreate(H5P_FILE_ACCESS), "making file access properties"};
  check_hdf5(H5Pset_fapl_mpio(access.get(), comm::mpi_handle(ranks), MPI_INFO_NULL), "choosing MPI-IO");
  check_hdf5(H5Pset_libver_bounds(access.get(), H5F_LIBVER_V18, H5F_LIBVER_V18), "choosing the file format");
  check_hdf5(H5Pset_alignment(access.get(), pixels_alignment, pixels_alignment), "choosing the alignment");
  H5Plist creation{H5Pcreate(H5P_FILE_CREATE), "making file creation properties"};
  check_hdf5(H5Pset_obj_track_times(creation.get(), 0), "switching off times");
  check_hdf5(H5Pset_link_phase_change(creation.get(), root_links_in_header, 0),
             "choosing the form of the root group");
  check_hdf5(H5Pset_est_link_info(creation.get(), root_links_in_header / 2, root_link_name_length),
             "sizing the root group");
  return H5File{H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation.get(), access.get()), "creating the file"};
}

void write_attribute(hid_t file, const char* name, std::int64_t value) {
  H5Space scalar{H5Screate(H5S_SCALAR), "making an attribute"};
  H5Attribute attribute{H5Acreate2(file, name, H5T_STD_I64LE, scalar.get(), H5P_DEFAULT, H5P_DEFAULT),
                        "making an attribute"};
  check_hdf5(H5Awrite(attribute.get(), H5T_NATIVE_INT64, &value), "writing an attribute");
}

// Contiguous, allocated at once, never filled, without times: so that bytes depend on nothing but the
// content.
H5Dataset create_dataset(hid_t file, const char* name, hid_t type, const std::vector<hsize_t>& shape) {
  H5Plist creation{H5Pcreate(H5P_DATASET_CREATE), "making dataset properties"};
  check_hdf5(H5Pset_layout(creation.get(), H5D_CONTIGUOUS), "choosing the layout");
  check_hdf5(H5Pset_alloc_time(creation.get(), H5D_ALLOC_TIME_EARLY), "choosing early allocation");
  check_hdf5(H5Pset_fill_time(creation.get(), H5D_FILL_TIME_NEVER), "switching off filling");
  check_hdf5(H5Pset_obj_track_times(creation.get(), 0), "switching off times");
  H5Space space{H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr),
                "making a dataset's shape"};
  return H5Dataset{H5Dcreate2(file, name, type, space.get(), H5P_DEFAULT, creation.get(), H5P_DEFAULT),
                   fmt::format("creating dataset {}", name)};
}

// The open file with all its datasets.
class OpenSegment {
 public:
  // Creates file, attributes and datasets; no data yet.
  OpenSegment(const comm::Communicator& ranks, const std::filesystem::path& path,
              const SegmentIdentity& identity, const SegmentPlan& plan)
      : outcome_type_{outcome_enumeration()},
        transfer_{H5Pcreate(H5P_DATASET_XFER), "making transfer properties"} {
    check_hdf5(H5Pset_dxpl_mpio(transfer_.get(), H5FD_MPIO_COLLECTIVE), "choosing collective writes");
    file_ = create_file(ranks, path);
    write_attribute(file_.get(), "schema_version", store_schema_version);
    write_attribute(file_.get(), "segment", identity.number);
    write_attribute(file_.get(), "first_item", identity.first_item);
    write_attribute(file_.get(), "item_count", identity.item_count);
    for_each_column(plan.columns, outcome_type_.get(), [&](const ColumnType& type, const auto&) {
      std::vector<hsize_t> shape{plan.columns.size()};
      if (type.values_per_record > 1) shape.push_back(type.values_per_record);
      columns_.push_back(create_dataset(file_.get(), type.name, type.in_file, shape));
    });
    pixels_ = create_dataset(file_.get(), pixels_dataset_name, H5T_STD_U8LE, {plan.pixels_bytes});
    const haddr_t offset = H5Dget_offset(pixels_.get());
    if (offset == HADDR_UNDEF) throw_hdf5_failure("asking for the place of the pixels");
    place_ = {offset, plan.pixels_bytes};
  }

  PixelsPlace place() const { return place_; }

  void write_pixels(const std::vector<Piece>& round) {
    const std::vector<std::uint8_t> buffer = buffer_of(round);
    const hsize_t whole = place_.bytes;
    H5Space in_file{H5Screate_simple(1, &whole, nullptr), "making a selection"};
    select_pieces(in_file.get(), round);
    const hsize_t count = std::max<hsize_t>(1, buffer.size());
    H5Space in_memory{H5Screate_simple(1, &count, nullptr), "making a selection"};
    if (buffer.empty()) check_hdf5(H5Sselect_none(in_memory.get()), "selecting nothing");
    const std::uint8_t nothing = 0;
    check_hdf5(H5Dwrite(pixels_.get(), H5T_NATIVE_UINT8, in_memory.get(), in_file.get(), transfer_.get(),
                        buffer.empty() ? &nothing : buffer.data()),
               "writing pixels");
  }

  // Rank 0 writes the column, the others take part with nothing.
  template <class Value>
  void write_column(std::size_t column, const ColumnType& type, const std::vector<Value>& values,
                    bool writes) {
    H5Space in_file{H5Dget_space(columns_[column].get()), "asking for a dataset's shape"};
    H5Space in_memory{H5Scopy(in_file.get()), "making a selection"};
    if (!writes) {
      check_hdf5(H5Sselect_none(in_file.get()), "selecting nothing");
      check_hdf5(H5Sselect_none(in_memory.get()), "selecting nothing");
    }
    check_hdf5(H5Dwrite(columns_[column].get(), type.in_memory, in_memory.get(), in_file.get(),
                        transfer_.get(), values.data()),
               fmt::format("writing column {}", type.name));
  }

  void close() {
    for (H5Dataset& column : columns_) column.close("closing a column");
    pixels_.close("closing the pixels");
    file_.close("closing the file");
  }

  // Leaves the file to the end of the process: closing is collective, and not every rank has it open.
  void abandon() {
    for (H5Dataset& column : columns_) static_cast<void>(column.release());
    static_cast<void>(pixels_.release());
    static_cast<void>(file_.release());
  }

  hid_t outcome_type() const { return outcome_type_.get(); }

 private:
  // In this order, so that the file is closed after its datasets.
  H5Type outcome_type_;
  H5Plist transfer_;
  H5File file_;
  std::vector<H5Dataset> columns_;
  H5Dataset pixels_;
  PixelsPlace place_;
};

}  // namespace

PixelsPlace write_segment_file(const comm::Communicator& ranks, const std::filesystem::path& path,
                               const SegmentIdentity& identity, const SegmentPlan& plan,
                               std::uint64_t write_limit) {
  const std::uint64_t expected_bytes =
      plan.pixels_bytes + metadata_allowance + plan.columns.size() * column_bytes_per_record;
  ranks.agree("reserving space for a segment", [&] {
    if (ranks.is_root()) make_file_with_room(path, expected_bytes);
  });
  ranks.agree("finding the segment's file", [&] { check_that_file_is_shared(path); });

  const auto rounds = rounds_of(own_pieces(ranks, plan), write_limit);
  const auto round_count = static_cast<std::size_t>(
      ranks.all_reduce(static_cast<std::int64_t>(rounds.size()), comm::Reduction::maximum));

  const auto lock = lock_hdf5();
  HangGuard guard{path.string()};
  std::string failure;  // the first one of this rank
  const auto attempt = [&](auto&& step) {
    guard.progress();
    try {
      step();
      return true;
    } catch (const std::exception& caught) {
      if (failure.empty()) failure = caught.what();
      guard.failed(failure);
      return false;
    }
  };
  const auto agree_on_failure = [&] {
    ranks.agree("writing a segment", [&] {
      if (!failure.empty())
        throw IoError(failure, path.string(), "Is the disk full? Run the same command to continue.");
    });
  };

  std::unique_ptr<OpenSegment> segment;
  attempt([&] { segment = std::make_unique<OpenSegment>(ranks, path, identity, plan); });
  if (ranks.any(!failure.empty())) {
    if (segment) segment->abandon();
    agree_on_failure();
  }
  if (ranks.any(ranks.is_root() && !attempt([&] { keep_room(path, expected_bytes); }))) {
    segment.reset();
    agree_on_failure();
  }
  for (std::size_t round = 0; round < round_count; ++round) {
    attempt([&] { segment->write_pixels(round < rounds.size() ? rounds[round] : std::vector<Piece>{}); });
  }
  if (plan.columns.size() > 0) {
    std::size_t column = 0;
    for_each_column(plan.columns, segment->outcome_type(), [&](const ColumnType& type, const auto& values) {
      attempt([&] { segment->write_column(column, type, values, ranks.is_root()); });
      ++column;
    });
  }
  const PixelsPlace place = segment->place();
  attempt([&] { segment->close(); });
  agree_on_failure();
  return place;
}

}  // namespace deda::io
