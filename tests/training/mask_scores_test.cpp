// A classifier's word on masks: red is class 0. Of three pictures one has a good mask, one the ground for its
// object, one no CIP. At any number of ranks.
#include "training/mask_scores.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <memory>

#include "io/example_store.h"
#include "models/classifiers/classifier.h"
#include "support/temporary_folder.h"

namespace deda::training {
namespace {

// Logits: how much redder than green the middle of the picture is, and nothing.
struct RedOrNot final : models::Classifier {
  at::Tensor forward(at::Tensor pictures) override {
    const auto side = pictures.size(2);
    const auto middle = pictures.narrow(2, side / 4, side / 2).narrow(3, side / 4, side / 2).mean({2, 3});
    const auto red = 3 * (middle.select(1, 0) - middle.select(1, 1));
    return at::stack({red, at::zeros_like(red)}, 1);
  }
  std::string head_name() const override { return "none"; }
  std::int64_t classes() const override { return 2; }
};

io::Record of_colour(std::int64_t item, io::RecordKind kind, std::array<std::uint8_t, 3> colour) {
  io::Record record;
  record.info.source_index = item;
  record.info.class_id = 0;
  record.info.kind = kind;
  record.info.height = 24;
  record.info.width = 30;
  record.info.channels = kind == io::RecordKind::cdp ? 4 : 3;
  record.info.crop = record.info.box = {0, 0, 30, 24};
  for (int i = 0; i < 24 * 30; ++i) {
    record.pixels.insert(record.pixels.end(), colour.begin(), colour.end());
    if (record.info.channels == 4) record.pixels.push_back(255);
  }
  return record;
}

TEST(MaskScores, TellAGoodMaskFromOneThatTookTheGround) {
  const auto world = comm::Communicator::world();
  std::string folder;
  std::unique_ptr<test::TemporaryFolder> owner;
  if (world.is_root()) {
    owner = std::make_unique<test::TemporaryFolder>();
    folder = owner->path().string();
  }
  folder = world.broadcast(folder);
  if (world.is_root()) {
    constexpr std::array<std::uint8_t, 3> red{255, 0, 0}, green{0, 255, 0};
    io::StoreDescription description;
    description.stage = "decouple";
    description.configuration = "{}";
    description.class_names = {"red", "other"};
    description.sources = {"a, \"b\".png", "swapped.png", "alone.png"};
    description.source_classes = {0, 0, 0};
    description.items_per_segment = 3;
    io::StoreWriter writer(comm::Communicator::self(), folder + "/store", description);
    std::vector<io::ItemResult> results(3);
    for (std::int64_t item = 0; item < 3; ++item) {
      auto& result = results[static_cast<std::size_t>(item)];
      result.item = item;
      result.records.push_back(of_colour(item, io::RecordKind::cdp, item == 1 ? green : red));
      if (item < 2) result.records.push_back(of_colour(item, io::RecordKind::cip, item == 1 ? red : green));
    }
    writer.write_segment(0, std::move(results));
    writer.finish();
  }
  world.barrier("the store is there");
  const io::StoreReader store(folder + "/store");
  RedOrNot network;
  const auto scores = score_masks(network, store, {.resized_side = 36, .crop = 32}, world, at::kCPU, {});
  ASSERT_EQ(scores.size(), 2u);
  EXPECT_EQ(scores[0].item, 0);
  EXPECT_GT(scores[0].cdp_keeps, 0.9);
  EXPECT_LT(scores[0].cip_keeps, 0.1);
  EXPECT_EQ(scores[1].item, 1);
  EXPECT_LT(scores[1].cdp_keeps, 0.1);
  EXPECT_GT(scores[1].cip_keeps, 0.9);
  const auto text = to_csv(scores, store.description().sources);
  EXPECT_EQ(text.substr(0, text.find('\n')), "item,source,cdp_keeps,cip_keeps");
  EXPECT_NE(text.find("\n0,\"a, \"\"b\"\".png\",0."), std::string::npos) << text;
  world.barrier("the store is no longer needed");
}

}  // namespace
}  // namespace deda::training
