// The segment file below the store: the cure of Open MPI's collective-write fault, and writes cut into
// several.
//
// Debian 12's Open MPI 4.1.4 loses bytes of collective writes when two aggregators work (ompi issue 12718),
// and H5Dwrite reports success. CMakeLists.txt forces two aggregators here; MpiEnvironment sets the cure.
#include "io/store/segment_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "comm/mpi_handle.h"
#include "io/example_store.h"

namespace deda {
namespace {

constexpr int repetitions = 200;

struct Written {
  io::PixelsPlace place;
  std::vector<std::string> differences;
};

// Item counts vary with the repetition, so that the shares of the ranks fall differently on the aggregators.
Written write_and_check(const comm::Communicator& world, const std::filesystem::path& path,
                        const io::SegmentIdentity& identity, const std::vector<io::ItemResult>& results,
                        std::uint64_t write_limit = io::default_write_limit) {
  const io::SegmentPlan plan = io::plan_segment(world, identity, results, 0);
  Written written;
  written.place = io::write_segment_file(world, path, identity, plan, write_limit);
  written.differences = io::differences_from_plan(world, path, identity, plan, written.place);
  return written;
}

TEST(SegmentFile, TwoAggregatorsNeverLoseAByte) {
  const auto world = comm::Communicator::world();
  const test::SharedFolder folder{world};
  int bad = 0;
  for (int repetition = 0; repetition < repetitions; ++repetition) {
    const test::ExampleStore example{
        .items = 5 + repetition % 13, .items_per_segment = 64, .largest_side = 60};
    const io::SegmentIdentity identity{0, 0, example.items};
    const auto results = dealt(example, world, {0, example.items}, test::Deal::reversed);
    const Written written = write_and_check(world, folder.path() / "segment.h5", identity, results);
    if (!written.differences.empty()) ++bad;
  }
  EXPECT_EQ(bad, 0) << "of " << repetitions << " files came back with other bytes";
}

// Reads Open MPI's own idea of the setting: -1 where this MPI does not have it.
int lock_algorithm_in_force() {
  int granted = 0, index = -1, value = -1, count = 0;
  if (MPI_T_init_thread(MPI_THREAD_MULTIPLE, &granted) != MPI_SUCCESS) return -1;
  if (MPI_T_cvar_get_index("fs_ufs_lock_algorithm", &index) == MPI_SUCCESS) {
    MPI_T_cvar_handle handle = nullptr;
    if (MPI_T_cvar_handle_alloc(index, nullptr, &handle, &count) == MPI_SUCCESS) {
      MPI_T_cvar_read(handle, &value);
      MPI_T_cvar_handle_free(&handle);
    }
  }
  MPI_T_finalize();
  return value;
}

TEST(SegmentFile, OpenMpiLocksTheRangesThatItWrites) {
  const int value = lock_algorithm_in_force();
  if (value < 0) GTEST_SKIP() << "this MPI has no fs_ufs_lock_algorithm";
  EXPECT_EQ(value, 3);
}

// Our own layout (whole records, one rank writes the columns) has never shown the fault. This one, small
// blocks of columns, one per rank, does without the cure, in up to nine of ten files: only with both cores
// free and MPI_THREAD_SINGLE, though.
TEST(SegmentFile, BlocksOfColumnsFromManyRanksComeBackWhole) {
  const auto world = comm::Communicator::world();
  const test::SharedFolder folder{world};
  constexpr hsize_t rows = 100, columns_per_rank = 5;
  constexpr int files = 40;
  const hsize_t columns = columns_per_rank * static_cast<hsize_t>(world.size());
  const hsize_t start[2] = {0, columns_per_rank * static_cast<hsize_t>(world.rank())},
                count[2] = {rows, columns_per_rank};
  std::vector<std::int32_t> block;
  for (hsize_t i = 0; i < rows * columns_per_rank; ++i) {
    block.push_back(
        static_cast<std::int32_t>(1 + (i / columns_per_rank) * columns + start[1] + i % columns_per_rank));
  }
  const auto path = folder.path() / "blocks.h5";
  const auto lock = io::lock_hdf5();
  int bad = 0;
  for (int file_number = 0; file_number < files; ++file_number) {
    io::H5Plist access{H5Pcreate(H5P_FILE_ACCESS), "properties"},
        transfer{H5Pcreate(H5P_DATASET_XFER), "properties"};
    H5Pset_fapl_mpio(access.get(), comm::mpi_handle(world), MPI_INFO_NULL);
    H5Pset_dxpl_mpio(transfer.get(), H5FD_MPIO_COLLECTIVE);
    const hsize_t shape[2] = {rows, columns};
    {
      const io::H5File file{H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access.get()), "file"};
      const io::H5Space whole{H5Screate_simple(2, shape, nullptr), "space"},
          mine{H5Screate_simple(2, count, nullptr), "space"};
      H5Sselect_hyperslab(whole.get(), H5S_SELECT_SET, start, nullptr, count, nullptr);
      const io::H5Dataset data{
          H5Dcreate2(file.get(), "data", H5T_STD_I32LE, whole.get(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
          "dataset"};
      H5Dwrite(data.get(), H5T_NATIVE_INT32, mine.get(), whole.get(), transfer.get(), block.data());
    }
    world.barrier("written");
    if (world.is_root()) {
      const io::H5File file{H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), "file"};
      const io::H5Dataset data{H5Dopen2(file.get(), "data", H5P_DEFAULT), "dataset"};
      std::vector<std::int32_t> all(rows * columns), expected(rows * columns);
      std::iota(expected.begin(), expected.end(), 1);
      H5Dread(data.get(), H5T_NATIVE_INT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, all.data());
      if (all != expected) ++bad;
    }
    world.barrier("read");
  }
  EXPECT_EQ(bad, 0) << "of " << files << " files: OMPI_MCA_fs_ufs_lock_algorithm=3 is not in force";
}

TEST(SegmentFile, AShareWrittenInManyCallsGivesTheSameBytes) {
  const auto world = comm::Communicator::world();
  const test::SharedFolder folder{world};
  const test::ExampleStore example{.items = 9, .items_per_segment = 9, .largest_side = 90};
  const io::SegmentIdentity identity{0, 0, example.items};
  const auto results = dealt(example, world, {0, example.items}, test::Deal::reversed);
  const Written at_once = write_and_check(world, folder.path() / "at-once.h5", identity, results);
  const Written in_pieces =
      write_and_check(world, folder.path() / "in-pieces.h5", identity, results, /*write_limit=*/5000);
  EXPECT_THAT(at_once.differences, testing::IsEmpty());
  EXPECT_THAT(in_pieces.differences, testing::IsEmpty());
  world.barrier("comparing");
  EXPECT_TRUE(read_text(folder.path() / "at-once.h5") == read_text(folder.path() / "in-pieces.h5"));
}

TEST(SegmentFile, CheckingNamesTheRecordThatCameBackWithOtherBytes) {
  const auto world = comm::Communicator::world();
  const test::SharedFolder folder{world};
  const test::ExampleStore example{.items = 6, .items_per_segment = 6};
  const io::SegmentIdentity identity{0, 0, example.items};
  const auto results = dealt(example, world, {0, example.items}, test::Deal::round_robin);
  const io::SegmentPlan plan = io::plan_segment(world, identity, results, 0);
  const auto path = folder.path() / "segment.h5";
  const io::PixelsPlace place = io::write_segment_file(world, path, identity, plan);
  if (world.is_root()) {
    std::fstream file{path, std::ios::in | std::ios::out | std::ios::binary};
    file.seekp(static_cast<std::streamoff>(place.offset + plan.columns.offset[2]));
    file.put(static_cast<char>(~example.records_in_order()[2].pixels[0]));
  }
  world.barrier("damaging the file");
  EXPECT_THAT(io::differences_from_plan(world, path, identity, plan, place),
              testing::ElementsAre(testing::HasSubstr("record 2 ")));
}

}  // namespace
}  // namespace deda
