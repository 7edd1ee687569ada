// The verbs of Communicator at 1 to 4 ranks, with odd sizes and with messages cut into pieces.
#include "comm/communicator.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <numeric>

#include "core/error.h"

namespace deda::comm {
namespace {

// Sets an environment variable for the length of a scope.
class ScopedVariable {
 public:
  ScopedVariable(const char* name, const char* value) : name_{name} { setenv(name, value, 1); }
  ~ScopedVariable() { unsetenv(name_); }

 private:
  const char* name_;
};

std::vector<std::uint8_t> bytes_of_rank(int rank, std::size_t length) {
  std::vector<std::uint8_t> bytes(length);
  for (std::size_t i = 0; i < length; ++i)
    bytes[i] = static_cast<std::uint8_t>(17 * rank + 3 * static_cast<int>(i));
  return bytes;
}

TEST(Communicator, KnowsItsPlace) {
  const auto world = Communicator::world();
  EXPECT_GE(world.rank(), 0);
  EXPECT_LT(world.rank(), world.size());
  EXPECT_EQ(world.is_root(), world.rank() == 0);
  EXPECT_LT(world.local_rank(), world.local_size());
  EXPECT_LE(world.local_size(), world.size());
  const auto hosts = world.host_names();
  ASSERT_EQ(hosts.size(), static_cast<std::size_t>(world.size()));
  for (const auto& host : hosts) EXPECT_FALSE(host.empty());
}

TEST(Communicator, SelfIsAloneEvenAmongMany) {
  const auto self = Communicator::self();
  EXPECT_EQ(self.size(), 1);
  EXPECT_EQ(self.rank(), 0);
  self.barrier("alone");
  EXPECT_EQ(self.all_reduce(7, Reduction::sum), 7);
  EXPECT_EQ(self.exclusive_scan_sum(5), 0);
}

TEST(Communicator, ReducesSumsMinimaAndMaxima) {
  const auto world = Communicator::world();
  const std::int64_t n = world.size();
  EXPECT_EQ(world.all_reduce(world.rank() + 1, Reduction::sum), n * (n + 1) / 2);
  EXPECT_EQ(world.all_reduce(world.rank() + 1, Reduction::minimum), 1);
  EXPECT_EQ(world.all_reduce(world.rank() + 1, Reduction::maximum), n);
  const auto sums =
      world.all_reduce(std::vector<double>{0.5, static_cast<double>(world.rank())}, Reduction::sum);
  EXPECT_EQ(sums, (std::vector<double>{0.5 * static_cast<double>(n), static_cast<double>(n * (n - 1) / 2)}));
  EXPECT_TRUE(world.all_reduce(std::vector<std::int64_t>{}, Reduction::sum).empty());
}

TEST(Communicator, ScanGivesEachRankTheSumBeforeIt) {
  const auto world = Communicator::world();
  const std::int64_t r = world.rank();
  EXPECT_EQ(world.exclusive_scan_sum(r + 1), r * (r + 1) / 2);
}

TEST(Communicator, AnyIsTrueEverywhereWhenTrueOnOneRank) {
  const auto world = Communicator::world();
  EXPECT_TRUE(world.any(world.rank() == world.size() - 1));
  EXPECT_FALSE(world.any(false));
}

TEST(Communicator, BroadcastsFromEveryRootTextOfAnyLength) {
  const auto world = Communicator::world();
  for (int root = 0; root < world.size(); ++root) {
    for (const std::size_t length : {std::size_t{0}, std::size_t{1}, std::size_t{100'000}}) {
      const std::string text(length, static_cast<char>('a' + root));
      EXPECT_EQ(world.broadcast(world.rank() == root ? text : "something else", root), text);
    }
  }
}

TEST(Communicator, GathersUnevenAndEmptyContributions) {
  const auto world = Communicator::world();
  const int root = world.size() - 1;
  // Rank 0 sends nothing at all.
  const auto mine = bytes_of_rank(world.rank(), static_cast<std::size_t>(1000 * world.rank()));
  const auto all = world.all_gather(mine);
  const auto at_root = world.gather(mine, root);
  ASSERT_EQ(all.size(), static_cast<std::size_t>(world.size()));
  for (int r = 0; r < world.size(); ++r)
    EXPECT_EQ(all[r], bytes_of_rank(r, static_cast<std::size_t>(1000 * r)));
  if (world.rank() == root) {
    EXPECT_EQ(at_root, all);
  } else {
    EXPECT_TRUE(at_root.empty());
  }
  EXPECT_EQ(world.all_gather(std::string("rank ") + std::to_string(world.rank())).back(),
            "rank " + std::to_string(world.size() - 1));
}

TEST(Communicator, MessagesCutIntoPiecesArriveWhole) {
  const ScopedVariable limit("DEDA_MPI_MESSAGE_BYTES", "40");
  const auto world = Communicator::world();
  const std::string text(1001, 'x');
  EXPECT_EQ(world.broadcast(world.is_root() ? text : ""), text);
  std::vector<std::int64_t> values(101);
  std::iota(values.begin(), values.end(), world.rank());
  const auto sums = world.all_reduce(values, Reduction::sum);
  const std::int64_t n = world.size();
  for (std::int64_t i = 0; i < 101; ++i)
    EXPECT_EQ(sums[static_cast<std::size_t>(i)], n * i + n * (n - 1) / 2);
  const auto all =
      world.all_gather(bytes_of_rank(world.rank(), static_cast<std::size_t>(333 + world.rank())));
  for (int r = 0; r < world.size(); ++r)
    EXPECT_EQ(all[r], bytes_of_rank(r, static_cast<std::size_t>(333 + r)));
}

TEST(Communicator, ADuplicateDoesNotMixWithTheOriginal) {
  const auto first = Communicator::world();
  const auto second = Communicator::world();
  const std::string a = first.broadcast(first.is_root() ? "first" : "");
  const std::string b = second.broadcast(second.is_root() ? "second" : "");
  EXPECT_EQ(a + b, "firstsecond");
}

TEST(Communicator, RefusesATimeoutThatIsNoNumber) {
  for (const char* bad : {"soon", "-1", "0", "5 minutes", "nan"}) {
    const ScopedVariable timeout("DEDA_TIMEOUT_S", bad);
    EXPECT_THROW(Communicator::timeout_s(), ConfigError) << bad;
  }
  const ScopedVariable timeout("DEDA_TIMEOUT_S", "2.5");
  EXPECT_DOUBLE_EQ(Communicator::timeout_s(), 2.5);
}

}  // namespace
}  // namespace deda::comm
