// The stage on 1 to 4 ranks: the same bytes as one rank alone, whatever is wrong with some of the pictures;
// counts add up.
#include "decoupling/decouple.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/files.h"
#include "core/stop.h"
#include "decoupling/stage_fixture.h"
#include "io/pictures/image_codec.h"

namespace deda::decoupling {
namespace {

// Toy pictures, some of them spoilt: truncated, empty, without a mask, with a mask of another size.
data::Dataset spoilt_toy(const comm::Communicator& world, const std::filesystem::path& root) {
  make_small_toy(world, root);
  world.agree("spoiling pictures", [&] {
    if (!world.is_root()) return;
    const auto spoil = [&](const char* name, std::size_t bytes) {
      const auto path = root / "images" / "train" / name;
      const std::string text = read_text(path);
      std::ofstream(path, std::ios::binary | std::ios::trunc) << text.substr(0, bytes);
    };
    spoil("00003.png", 0);
    spoil("00007.png", 700);
    std::filesystem::remove(root / "masks" / "train" / "00011.png");
    io::write_image(root / "masks" / "train" / "00012.png", io::Image(10, 10, 1));
    io::write_image(root / "masks" / "train" / "00013.png", io::Image(48, 48, 1));
  });
  data::DatasetConfig config;
  config.layout = data::Layout::toy;
  config.root = root;
  data::LoadOptions options;
  options.check_files = false;  // one mask was taken away on purpose
  return data::load_dataset(config, options);
}

TEST(Decouple, GivesTheBytesOfOneRankAndOneOutcomePerPicture) {
  SharedFolder shared;
  const data::Dataset dataset = spoilt_toy(shared.world, shared.path / "toy");
  DecoupleConfig config;
  config.items_per_segment = 7;  // several segments, the last one short
  decouple(shared.world, {dataset, config, shared.path / "together", 2, shared.path / "trace", 4});
  if (shared.world.is_root()) {
    decouple(comm::Communicator::self(), {dataset, config, shared.path / "alone", 1, std::nullopt, 0});
    const auto together = files_of(shared.path / "together"), alone = files_of(shared.path / "alone");
    ASSERT_EQ(together.size(), alone.size());
    for (const auto& [name, bytes] : alone) EXPECT_TRUE(together.at(name) == bytes) << name << " differs";
    const io::StoreReader store(shared.path / "together", io::StoreReader::Check::hashes);
    io::OutcomeCount outcomes = store.outcomes();
    EXPECT_EQ(outcomes.items, 30);
    EXPECT_EQ(outcomes.counts[io::Outcome::done], 25);
    EXPECT_EQ(outcomes.counts[io::Outcome::unreadable], 2);
    EXPECT_EQ(outcomes.counts[io::Outcome::rejected], 2) << "a missing mask file and one of another size";
    EXPECT_EQ(outcomes.counts[io::Outcome::nothing_found], 1);
    EXPECT_EQ(store.size(), 50u);
    EXPECT_TRUE(std::filesystem::exists(shared.path / "trace" / "picture-000002.safetensors"));
    EXPECT_FALSE(std::filesystem::exists(shared.path / "trace" / "picture-000004.safetensors"));
  }
}

TEST(Decouple, CalledAgainWhenDoneChangesNothing) {
  SharedFolder shared;
  const data::Dataset dataset = spoilt_toy(shared.world, shared.path / "toy");
  const DecoupleConfig config;
  EXPECT_FALSE(decouple(shared.world, {dataset, config, shared.path / "store", 1, std::nullopt, 0}));
  const auto before =
      shared.world.is_root() ? files_of(shared.path / "store") : std::map<std::string, std::string>{};
  EXPECT_TRUE(decouple(shared.world, {dataset, config, shared.path / "store", 1, std::nullopt, 0}));
  if (shared.world.is_root()) {
    EXPECT_TRUE(files_of(shared.path / "store") == before);
  }
}

// The seconds that a rank's events book as work, per segment.
std::vector<double> worked_seconds(const std::filesystem::path& folder, int rank) {
  const std::string text = read_text(folder / ("events-" + std::to_string(rank) + ".jsonl"));
  const std::string before = "\"name\":\"worked_s\",\"value\":";
  std::vector<double> seconds;
  for (auto at = text.find(before); at != std::string::npos; at = text.find(before, at + 1))
    seconds.push_back(std::stod(text.substr(at + before.size())));
  return seconds;
}

TEST(Decouple, BooksTheTimeOfSegmentsThatAreTakenOverAsWorkAndNotAsWaiting) {
  SharedFolder shared;
  const auto& path = shared.path;
  const data::Dataset dataset = spoilt_toy(shared.world, path / "toy");
  DecoupleConfig config;
  config.items_per_segment = 10;
  decouple(shared.world, {dataset, config, path / "all", 1, std::nullopt, 0});
  config.exclude = path / "exclude.txt";
  shared.world.agree("the list", [&] {
    if (!shared.world.is_root()) return;
    write_atomically(config.exclude, dataset.items[1].path + "\n");
    // What is taken over needs no pictures; decoupled anew, all of them would be unreadable.
    std::filesystem::rename(path / "toy" / "images", path / "toy" / "images away");
  });
  decouple(shared.world, {dataset, config, path / "without", 1, std::nullopt, 0, path / "all"});
  const auto worked = worked_seconds(path / "without", shared.world.rank());
  EXPECT_EQ(worked.size(), 3u);
  for (const double seconds : worked) EXPECT_GT(seconds, 0.0);
  if (shared.world.is_root()) {
    EXPECT_EQ(io::StoreReader(path / "without").outcomes().counts.at(io::Outcome::unreadable), 2);
  }
}

TEST(Decouple, StopsBetweenSegmentsAndContinuesToTheSameBytes) {
  SharedFolder shared;
  const data::Dataset dataset = spoilt_toy(shared.world, shared.path / "toy");
  DecoupleConfig config;
  config.items_per_segment = 5;
  if (shared.world.rank() == shared.world.size() - 1)
    request_stop("asked by the test");  // one rank is enough
  EXPECT_THROW(decouple(shared.world, {dataset, config, shared.path / "stopped", 1, std::nullopt, 0}),
               Stopped);
  clear_stop_request();
  decouple(shared.world, {dataset, config, shared.path / "stopped", 1, std::nullopt, 0});
  decouple(shared.world, {dataset, config, shared.path / "quiet", 1, std::nullopt, 0});
  if (shared.world.is_root()) {
    EXPECT_TRUE(files_of(shared.path / "stopped") == files_of(shared.path / "quiet"));
  }
}

TEST(Decouple, EndsWithAnErrorWhenTooManyPicturesFail) {
  SharedFolder shared;
  const data::Dataset dataset = spoilt_toy(shared.world, shared.path / "toy");
  DecoupleConfig config;
  config.max_failed_share = 0.05;  // 2 of 30 are unreadable
  for (const bool again : {false, true}) {
    EXPECT_EQ(decouple(shared.world, {dataset, config, shared.path / "store", 1, std::nullopt, 0}), again);
    EXPECT_THROW(io::check_outcomes(shared.world, shared.path / "store", outcome_limits(config)), DataError);
  }
}

TEST(Decouple, AStoreWithoutAPartIsAnErrorUnlessItIsAllowed) {
  SharedFolder shared;
  const data::Dataset dataset = spoilt_toy(shared.world, shared.path / "toy");
  DecoupleConfig config;
  config.min_mask_share = 0.9;  // no beetle is that large
  decouple(shared.world, {dataset, config, shared.path / "store", 1, std::nullopt, 0});
  try {
    io::check_outcomes(shared.world, shared.path / "store", outcome_limits(config));
    ADD_FAILURE() << "a store without a part went unnoticed";
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("none of 30 items gave one"));
    EXPECT_THAT(error.what(), testing::HasSubstr("times rejected: annotated: the mask's share of the picture is"));
    EXPECT_THAT(error.what(), testing::HasSubstr("decouple.allow_empty=true"));
  }
  config.allow_empty = true;
  EXPECT_NO_THROW(io::check_outcomes(shared.world, shared.path / "store", outcome_limits(config)));
}

TEST(Decouple, HandlesFewerPicturesThanRanks) {
  SharedFolder shared;
  data::Dataset dataset = spoilt_toy(shared.world, shared.path / "toy");
  dataset.items.resize(1);
  decouple(shared.world, {dataset, {}, shared.path / "one", 1, std::nullopt, 0});
  EXPECT_EQ(io::StoreReader(shared.path / "one").size(), 2u);
  dataset.items.clear();
  EXPECT_THROW(decouple(shared.world, {dataset, {}, shared.path / "none", 1, std::nullopt, 0}), DataError);
}

TEST(Decouple, WorksOnRealPetsAndOnTheDatasetsTwoKnownDefects) {
  const char* named = std::getenv("DEDA_TEST_DATA");
  const std::filesystem::path data = named != nullptr
                                         ? std::filesystem::path{named}
                                         : std::filesystem::path{DEDA_SOURCE_DIR} / ".." / "shared" / "data";
  if (!std::filesystem::exists(data / "pets")) GTEST_SKIP() << "no real pictures at " << data;
  SharedFolder shared;
  data::DatasetConfig pets;
  pets.layout = data::Layout::pets;
  pets.root = data / "pets";
  pets.images_per_class = 5;
  DecoupleConfig config;
  decouple(shared.world, {data::load_dataset(pets), config, shared.path / "pets", 1, std::nullopt, 0});
  pets.root = data / "pets_edge";
  pets.images_per_class = 0;
  decouple(shared.world, {data::load_dataset(pets), config, shared.path / "edge", 1, std::nullopt, 0});
  if (!shared.world.is_root()) return;
  io::OutcomeCount outcomes =
      io::StoreReader(shared.path / "pets", io::StoreReader::Check::hashes).outcomes();
  EXPECT_EQ(outcomes.items, 15);
  EXPECT_EQ(outcomes.counts[io::Outcome::done], 15);
  const io::StoreReader edge(shared.path / "edge");
  outcomes = edge.outcomes();
  EXPECT_EQ(outcomes.items, 2);
  EXPECT_EQ(outcomes.counts[io::Outcome::nothing_found], 1) << "a trimap without any foreground pixel";
  EXPECT_EQ(outcomes.counts[io::Outcome::done], 1);
  for (const auto& [item, remark] : edge.remarks()) {
    if (remark.first == io::Outcome::done) {
      EXPECT_NE(remark.second.find("is a PNG although named .jpg; alpha dropped"), std::string::npos)
          << remark.second;
    }
  }
}

}  // namespace
}  // namespace deda::decoupling
