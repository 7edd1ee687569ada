// A run of a store that is killed, or meets a full disk, at any of its calls: the next run ends with the
// bytes of an undisturbed one, and what was finished is never lost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>

#include "io/example_store.h"

namespace deda {
namespace {

struct Ended {
  int exit_code = -1;
  std::string output;
};

constexpr int time_limit_s = 30;

// Runs the store program on `ranks` ranks in an environment of its own (this process is an MPI process
// already). The fault comes to all ranks, or to the last one alone.
enum class Where { all_ranks, last_rank };
Ended run_store(const std::filesystem::path& folder, int ranks, const std::string& fault = {},
                Where where = Where::all_ranks) {
  const std::string preload = fault.empty() ? "" : "DEDA_FAULT_FOLDER=" + folder.string() + " " + fault + " ";
  const std::string with_fault = fault.empty() ? "" : "env LD_PRELOAD=" FAULT_LIBRARY " ";
  const std::string program = STORE_PROGRAM " " + folder.string();
  const int sound = where == Where::last_rank ? ranks - 1 : 0;
  std::string launcher = ranks == 1 ? "" : MPIEXEC " ";
  if (sound > 0) launcher += "-n " + std::to_string(sound) + " " + program + " : ";
  if (ranks > 1) launcher += "-n " + std::to_string(ranks - sound) + " ";
  const std::string command =
      "env -i PATH=\"$PATH\" HOME=\"$HOME\" OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 "
      "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 "
      "OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none "
      "OMPI_MCA_btl_vader_single_copy_mechanism=none "
      "DEDA_TIMEOUT_S=5 OMPI_MCA_io_ompio_num_aggregators=2 " +
      preload + "timeout -s KILL " + std::to_string(time_limit_s) + " " + launcher + with_fault + program +
      " 2>&1";
  Ended ended;
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return ended;
  std::array<char, 4096> buffer{};
  while (const std::size_t n = fread(buffer.data(), 1, buffer.size(), pipe))
    ended.output.append(buffer.data(), n);
  const int status = pclose(pipe);
  ended.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return ended;
}

class StoreRestart : public testing::Test {
 protected:
  StoreRestart() {
    EXPECT_EQ(run_store(undisturbed, 1).exit_code, 0);
    expected = test::content_of(undisturbed);
  }

  // Number of calls that an undisturbed run makes.
  long count_calls(int ranks) {
    const auto counter = scratch.path() / "calls";
    EXPECT_EQ(run_store(scratch.path() / "counted", ranks, "DEDA_FAULT_COUNT=" + counter.string()).exit_code,
              0);
    return static_cast<long>(std::filesystem::file_size(counter));
  }

  // Finished segments are whole files from the moment they have their name.
  void expect_finished_segments_intact(const std::filesystem::path& folder) {
    if (!std::filesystem::exists(folder)) return;
    for (const auto& [name, bytes] : test::content_of(folder)) {
      if (!name.ends_with(".h5")) continue;
      EXPECT_TRUE(bytes == expected.at(name)) << name;
    }
  }

  void expect_recovery(const std::string& kind, long at, int ranks, const std::vector<int>& allowed_codes,
                       Where where = Where::all_ranks) {
    SCOPED_TRACE(kind + " at call " + std::to_string(at) + " with " + std::to_string(ranks) + " ranks");
    const auto folder = scratch.path() / "disturbed";
    const Ended first =
        run_store(folder, ranks, "DEDA_FAULT_KIND=" + kind + " DEDA_FAULT_AT=" + std::to_string(at), where);
    EXPECT_THAT(allowed_codes, testing::Contains(first.exit_code)) << first.output;
    expect_finished_segments_intact(folder);
    const Ended second = run_store(folder, ranks);
    EXPECT_EQ(second.exit_code, 0) << second.output;
    EXPECT_TRUE(test::content_of(folder) == expected);
    std::filesystem::remove_all(folder);
  }

  const comm::Communicator self = comm::Communicator::self();
  const test::SharedFolder scratch{self};
  const std::filesystem::path undisturbed = scratch.path() / "undisturbed";
  std::map<std::string, std::string> expected;
};

constexpr int killed = 128 + 9;

TEST_F(StoreRestart, KilledAtAnyCallItContinuesToTheSameBytes) {
  const long calls = count_calls(1);
  ASSERT_GT(calls, 30);
  const long step = std::max(1L, calls / 8);
  for (long at = 1; at <= calls; at += step) expect_recovery("kill", at, 1, {killed});
}

TEST_F(StoreRestart, KilledWithSeveralRanksItContinuesToTheSameBytes) {
  for (const long at : {9, 40}) expect_recovery("kill", at, 2, {killed, 1});
  expect_recovery("kill", 4, 3, {killed, 1}, Where::last_rank);
}

TEST_F(StoreRestart, AFullDiskIsAnErrorAndTheRestContinuesWhenThereIsRoom) {
  const long calls = count_calls(1);
  const long step = std::max(1L, calls / 6);
  for (long at = 2; at <= calls; at += step) expect_recovery("full", at, 1, {1, 0});
}

// The other ranks are stuck inside MPI-IO then; the job has to end all the same, and to say why.
TEST_F(StoreRestart, AFullDiskOfOneRankAloneEndsTheJob) {
  expect_recovery("full", 4, 3, {1}, Where::last_rank);
}

// Open MPI's MPI-IO calls a short write an error; our own files are written on.
TEST_F(StoreRestart, ShortWritesLoseNothing) {
  expect_recovery("short", 1, 1, {0, 1});
}

}  // namespace
}  // namespace deda
