// Classifying a store's CDPs: placed on grey without distortion, counted exactly whatever the number of
// ranks.
#include "training/cdp_evaluation.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>

#include "io/example_store.h"
#include "models/registry.h"
#include "support/temporary_folder.h"

namespace deda::training {
namespace {

io::Record red_bar() {  // 20 high, 10 wide; the upper half is transparent with black below
  io::Record record;
  record.info.height = 20;
  record.info.width = 10;
  record.info.channels = 4;
  record.pixels.assign(20 * 10 * 4, 0);
  for (std::size_t i = 100; i < 200; ++i) {
    record.pixels[4 * i] = 255;
    record.pixels[4 * i + 3] = 255;
  }
  return record;
}

TEST(CdpOnGrey, KeepsTheShapeAndLetsNoHiddenColourThrough) {
  const auto record = red_bar();
  const io::Image picture = cdp_on_grey({record.info, record.pixels}, 100);
  ASSERT_EQ(picture.height, 100);
  ASSERT_EQ(picture.width, 100);
  const auto at = [&](int y, int x, int c) { return static_cast<int>(picture.row(y)[3 * x + c]); };
  EXPECT_EQ(at(5, 50, 0), 127);   // outside
  EXPECT_EQ(at(25, 50, 0), 127);  // its transparent half
  EXPECT_EQ(at(70, 50, 0), 255);  // its red half: rows 50..84, columns 33..67
  EXPECT_EQ(at(70, 50, 1), 0);
  EXPECT_EQ(at(70, 28, 0), 127);
  for (int y = 0; y < 100; ++y) {
    for (int x = 0; x < 100; ++x) EXPECT_GE(at(y, x, 0), 127) << "a dark fringe at " << y << ", " << x;
  }
}

TEST(CdpEvaluation, CountsEveryCdpOnceAtAnyNumberOfRanks) {
  const auto world = comm::Communicator::world();
  std::string folder;
  std::unique_ptr<test::TemporaryFolder> owner;
  if (world.is_root()) {
    owner = std::make_unique<test::TemporaryFolder>();
    folder = owner->path().string();
  }
  folder = world.broadcast(folder);
  const test::ExampleStore example;
  if (world.is_root()) {
    io::StoreWriter writer(comm::Communicator::self(), folder + "/store", example.description());
    for (const auto segment : writer.missing_segments()) {
      const auto [first, last] = writer.items_of(segment);
      std::vector<io::ItemResult> results;
      for (auto item = first; item < last; ++item) results.push_back(example.result(item));
      writer.write_segment(segment, std::move(results));
    }
    writer.finish();
  }
  world.barrier("the store is there");
  const io::StoreReader store(folder + "/store");
  std::map<std::int32_t, std::int64_t> expected;
  for (const auto& record : example.records_in_order())
    expected[record.info.version] += record.info.kind == io::RecordKind::cdp;
  const auto network = models::make_classifier("resnet18", 3);
  TrainConfig config;
  config.evaluation_batch = 5;
  const auto together = evaluate_cdps(*network, store, 32, world, at::kCPU, config);
  const auto alone = evaluate_cdps(*network, store, 32, comm::Communicator::self(), at::kCPU, config);
  ASSERT_EQ(together.size(), 2u);
  for (std::size_t i = 0; i < together.size(); ++i) {
    EXPECT_EQ(together[i].total, expected[together[i].version]);
    EXPECT_EQ(together[i].total, alone[i].total);
    EXPECT_FLOAT_EQ(together[i].strength, 0.25f * static_cast<float>(together[i].version));
  }
  EXPECT_TRUE(network->is_training()) << "the mode is given back";
  world.barrier("the store is no longer needed");
}

}  // namespace
}  // namespace deda::training
