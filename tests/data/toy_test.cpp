// The toy dataset: a pure function of its configuration, the same files for any number of ranks, correlations
// as asked.
#include "data/toy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "core/error.h"
#include "core/files.h"
#include "data/dataset.h"
#include "support/temporary_folder.h"

namespace deda::data {
namespace {

TEST(Toy, PicturesArePureFunctionsOfSeedSetAndIndex) {
  ToyConfig config;
  config.size = 32;
  EXPECT_EQ(draw_toy_picture(config, ToySet::train, 7).image.pixels,
            draw_toy_picture(config, ToySet::train, 7).image.pixels);
  EXPECT_NE(draw_toy_picture(config, ToySet::train, 7).image.pixels,
            draw_toy_picture(config, ToySet::usual_test, 7).image.pixels);
  ToyConfig other = config;
  other.seed = 2;
  EXPECT_NE(draw_toy_picture(config, ToySet::train, 7).image.pixels,
            draw_toy_picture(other, ToySet::train, 7).image.pixels);
}

TEST(Toy, BackgroundsFollowTheClassAsOftenAsAskedAndNeverWhenSwapped) {
  ToyConfig config;
  config.size = 16;
  int own = 0, swapped_own = 0;
  for (std::int64_t index = 0; index < 600; ++index) {
    own += draw_toy_picture(config, ToySet::train, index).background == index % config.classes;
    swapped_own += draw_toy_picture(config, ToySet::swapped_test, index).background == index % config.classes;
  }
  EXPECT_NEAR(own / 600.0, 0.95, 0.036) << "four standard errors";
  EXPECT_EQ(swapped_own, 0);
}

TEST(Toy, MasksCoverTheBeetleOnly) {
  ToyConfig config;
  config.size = 48;
  for (std::int64_t index = 0; index < 30; ++index) {
    const ToyPicture picture = draw_toy_picture(config, ToySet::train, index);
    const auto covered = std::count(picture.mask.pixels.begin(), picture.mask.pixels.end(), 255);
    EXPECT_GT(covered, 48 * 48 * 4 / 100);
    EXPECT_LT(covered, 48 * 48 * 60 / 100);
  }
}

TEST(Toy, IsDrawnAlikeByAnyNumberOfRanksAndThreadsAndOnlyOnce) {
  const auto world = comm::Communicator::world();
  std::unique_ptr<test::TemporaryFolder> owned;
  if (world.is_root()) owned = std::make_unique<test::TemporaryFolder>();
  const std::filesystem::path root = world.broadcast(world.is_root() ? owned->path().string() : "");
  ToyConfig config;
  config.size = 24;
  config.train_per_class = 3;
  config.test_per_class = 2;
  EXPECT_FALSE(make_toy_dataset(world, config, root / "toy"));
  EXPECT_TRUE(make_toy_dataset(world, config, root / "toy")) << "done already";
  ToyConfig other = config;
  other.size = 25;
  EXPECT_THROW(make_toy_dataset(world, other, root / "toy"), DataError);
  if (world.is_root()) {
    constexpr int threads = 3;
    make_toy_dataset(comm::Communicator::self(), config, root / "alone", threads);
    for (const char* name :
         {"labels.csv", "toy.json", "images/train/00017.png", "masks/test_swapped/00011.png"}) {
      EXPECT_EQ(read_text(root / "toy" / name), read_text(root / "alone" / name)) << name;
    }
    DatasetConfig layout;
    layout.layout = Layout::toy;
    layout.root = root / "toy";
    const Dataset dataset = load_dataset(layout);
    EXPECT_EQ(dataset.indices(Split::train).size(), 18u);
    EXPECT_EQ(dataset.indices(Split::test).size(), 24u);
    EXPECT_EQ(dataset.class_names.size(), 6u);
    EXPECT_EQ(std::count_if(dataset.items.begin(), dataset.items.end(),
                            [](const Item& item) { return item.group == 1; }),
              12);
    for (const Item& item : dataset.items) EXPECT_TRUE(item.box.has_value());
  }
  world.barrier("end of the test");
}

}  // namespace
}  // namespace deda::data
