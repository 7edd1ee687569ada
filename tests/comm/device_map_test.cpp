// Dealing out GPUs and cores: the layouts that Slurm and mpirun produce, and those that must be refused.
#include "comm/device_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"

namespace deda::comm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const VisibleDevice gpu_a{"0000:01", "Big GPU"}, gpu_b{"0000:02", "Big GPU"};

std::vector<int> devices_of(const std::vector<RankPlace>& places) {
  std::vector<int> devices;
  for (const auto& place : places) devices.push_back(place.device);
  return devices;
}

TEST(DeviceMap, RanksThatSeeAllGpusTakeOneEach) {
  const RankResources n1{"n1", "0,1,2,3,", 4, {gpu_a, gpu_b}}, n2{"n2", "0,1,2,3,", 4, {gpu_a, gpu_b}};
  EXPECT_THAT(devices_of(deal_out({n1, n1, n2, n2})), ElementsAre(0, 1, 0, 1));
}

TEST(DeviceMap, RanksThatSlurmBoundToOneGpuEachAllUseIndexZero) {
  EXPECT_THAT(devices_of(deal_out({{"n1", "0,", 1, {gpu_a}}, {"n1", "1,", 1, {gpu_b}}})), ElementsAre(0, 0));
}

TEST(DeviceMap, WithoutGpusAllRanksUseTheCpu) {
  EXPECT_THAT(devices_of(deal_out({{"n1", "0,1,", 2, {}}, {"n1", "0,1,", 2, {}}})), ElementsAre(-1, -1));
}

TEST(DeviceMap, MoreRanksThanGpusAreRefusedForAllHostsAtOnce) {
  const RankResources n1{"n1", "0,", 1, {gpu_a}}, n2{"n2", "0,", 1, {gpu_a}};
  try {
    deal_out({n1, n1, n2, n2});
    FAIL();
  } catch (const ConfigError& error) {
    EXPECT_EQ(error.problems().size(), 2u);
    EXPECT_THAT(error.what(), HasSubstr("n1: 2 ranks on this host, but 1 GPU for them"));
    EXPECT_THAT(error.what(), HasSubstr("NCCL does not support two ranks on one GPU"));
  }
}

TEST(DeviceMap, AHostWithoutGpusAmongHostsWithGpusIsRefused) {
  EXPECT_THROW(deal_out({{"n1", "0,", 1, {gpu_a}}, {"n2", "0,", 1, {}}}), ConfigError);
}

TEST(DeviceMap, SharedCoresAreDividedAndBoundCoresAreKept) {
  const RankResources shared{"n1", "0,1,2,3,", 4, {}}, bound_a{"n2", "0,1,", 2, {}},
      bound_b{"n2", "2,3,", 2, {}};
  const auto places = deal_out({shared, shared, bound_a, bound_b});
  EXPECT_EQ(places[0].cores, 2);
  EXPECT_EQ(places[2].cores, 2);
  EXPECT_EQ(deal_out({{"n1", "0,", 1, {}}, {"n1", "0,", 1, {}}})[1].cores, 1) << "never none";
}

TEST(DeviceMap, DescribesHostsInTheOrderOfTheirRanks) {
  const RankResources n1{"n1", "0,1,2,3,", 4, {gpu_a, gpu_b}}, n2{"n2", "0,", 1, {gpu_b}};
  EXPECT_THAT(describe_places(deal_out({n1, n1, n2})),
              ElementsAre("n1: ranks 0-1 on GPU 0-1 (Big GPU), 2 cores each",
                          "n2: rank 2 on GPU 0 (Big GPU), 1 core"));
}

TEST(DeviceMap, PlacesTheRanksOfThisRun) {
  const auto world = Communicator::world();
  const auto places = place_ranks(world, {});
  ASSERT_EQ(places.size(), static_cast<std::size_t>(world.size()));
  for (const auto& place : places) {
    EXPECT_EQ(place.device, -1);
    EXPECT_GE(place.cores, 1);
    EXPECT_FALSE(place.host.empty());
  }
}

}  // namespace
}  // namespace deda::comm
