// What goes into a store comes out of it, the same bytes for any number of ranks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "io/example_store.h"
#include "io/store/outcome_limits.h"

namespace deda {
namespace {

using test::content_of;
using test::Deal;
using test::ExampleStore;
using test::SharedFolder;
using test::write_example;

void expect_same_folders(const std::filesystem::path& one, const std::filesystem::path& other) {
  const auto first = content_of(one), second = content_of(other);
  ASSERT_EQ(first.size(), second.size());
  for (const auto& [name, bytes] : first) {
    ASSERT_TRUE(second.contains(name)) << name;
    EXPECT_TRUE(second.at(name) == bytes) << name << " differs";
  }
}

// Writes with all ranks, and beside it with rank 0 alone; rank 0 compares.
void expect_same_as_one_rank(const ExampleStore& example, Deal deal) {
  const auto world = comm::Communicator::world();
  const SharedFolder folder{world};
  write_example(example, world, folder.path() / "together", deal);
  if (!world.is_root()) return;
  write_example(example, comm::Communicator::self(), folder.path() / "alone");
  expect_same_folders(folder.path() / "together", folder.path() / "alone");
}

TEST(RecordStore, BytesAreTheSameForAnyNumberOfRanks) {
  expect_same_as_one_rank({}, Deal::round_robin);
}
TEST(RecordStore, BytesAreTheSameWhenItemsAreDealtOutOfOrder) {
  expect_same_as_one_rank({}, Deal::reversed);
}
TEST(RecordStore, BytesAreTheSameWhenRanksHaveNothing) {
  expect_same_as_one_rank({}, Deal::all_on_last_rank);
}
TEST(RecordStore, OneItemIsAStore) {
  expect_same_as_one_rank({.items = 1}, Deal::round_robin);
}
TEST(RecordStore, RecordsOfManyPagesKeepTheirBytes) {
  expect_same_as_one_rank({.items = 12, .items_per_segment = 12, .largest_side = 400}, Deal::reversed);
}

TEST(RecordStore, NoItemsIsAStore) {
  const auto world = comm::Communicator::world();
  const SharedFolder folder{world};
  write_example({.items = 0}, world, folder.path());
  const io::StoreReader reader{folder.path()};
  EXPECT_EQ(reader.size(), 0u);
  EXPECT_EQ(reader.outcomes().items, 0);
}

TEST(RecordStore, ASegmentWithoutRecordsIsAllRight) {
  const auto world = comm::Communicator::world();
  const SharedFolder folder{world};
  const ExampleStore example{.items = 3, .items_per_segment = 2};
  io::StoreWriter writer{world, folder.path(), example.description()};
  for (const std::int64_t segment : writer.missing_segments()) {
    std::vector<io::ItemResult> results;
    const auto [first, last] = writer.items_of(segment);
    for (std::int64_t item = first; item < last && world.is_root(); ++item) {
      results.push_back({item, io::Outcome::nothing_found, "no mask", {}});
    }
    writer.write_segment(segment, std::move(results));
  }
  writer.finish();
  const io::StoreReader reader{folder.path(), io::StoreReader::Check::hashes};
  EXPECT_EQ(reader.size(), 0u);
  EXPECT_EQ(reader.outcomes().counts.at(io::Outcome::nothing_found), 3);
  EXPECT_EQ(reader.remarks().at(2), std::pair(io::Outcome::nothing_found, std::string{"no mask"}));
}

TEST(RecordStore, BytesOfWholePicturesAreTheSameForAnyNumberOfRanks) {
  expect_same_as_one_rank({.of_pictures = true}, Deal::reversed);
}

void expect_every_field_in_order(const ExampleStore& example) {
  const auto world = comm::Communicator::world();
  const SharedFolder folder{world};
  write_example(example, world, folder.path(), Deal::reversed);
  const io::StoreReader reader{folder.path(), io::StoreReader::Check::hashes};
  const auto expected = example.records_in_order();
  ASSERT_EQ(reader.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    SCOPED_TRACE(i);
    const io::RecordView view = reader.at(i);
    const io::RecordInfo &got = view.info, &want = expected[i].info;
    EXPECT_EQ(got.source_index, want.source_index);
    EXPECT_EQ(got.class_id, want.class_id);
    EXPECT_EQ(got.kind, want.kind);
    EXPECT_EQ(std::tuple(got.height, got.width, got.channels),
              std::tuple(want.height, want.width, want.channels));
    EXPECT_EQ(got.crop, want.crop);
    EXPECT_EQ(got.box, want.box);
    EXPECT_EQ(got.mask_area, want.mask_area);
    EXPECT_EQ(got.mask_quality, want.mask_quality);
    EXPECT_EQ(got.version, want.version);
    EXPECT_EQ(got.strength, want.strength);
    EXPECT_EQ(got.seed, want.seed);
    EXPECT_EQ(got.target_class, want.target_class);
    EXPECT_EQ(got.clip_score, want.clip_score);
    EXPECT_EQ(got.outcome, io::Outcome::done);
    EXPECT_TRUE(std::ranges::equal(view.pixels, expected[i].pixels));
    EXPECT_TRUE(reader.hash_matches(i));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(view.pixels.data()) % 64, 0u)
        << "a record starts on a cache line";
  }
}

TEST(RecordStore, ReaderGivesBackEveryFieldInOrder) {
  expect_every_field_in_order({});
}
TEST(RecordStore, ReaderGivesBackWhatWholePicturesHaveBesides) {
  expect_every_field_in_order({.of_pictures = true});
}

TEST(RecordStore, OutcomesAddUpToTheItemsAndReasonsAreKept) {
  const auto world = comm::Communicator::world();
  const SharedFolder folder{world};
  const ExampleStore example;
  write_example(example, world, folder.path());
  const io::StoreReader reader{folder.path()};
  std::int64_t sum = 0;
  for (const auto& [outcome, count] : reader.outcomes().counts) sum += count;
  EXPECT_EQ(sum, example.items);
  for (std::int64_t item = 0; item < example.items; ++item) {
    const io::ItemResult made = example.result(item);
    const bool plain = made.outcome == io::Outcome::done && made.reason.empty();
    ASSERT_EQ(reader.remarks().contains(item), !plain) << item;
    if (plain) continue;
    EXPECT_EQ(reader.remarks().at(item), std::pair(made.outcome, made.reason));
  }
  EXPECT_EQ(reader.description().sources, example.description().sources);
  EXPECT_EQ(reader.description().class_names, example.description().class_names);
  EXPECT_EQ(reader.description().configuration, example.description().configuration);
}

TEST(RecordStore, MoreFailedItemsThanAllowedAreAnError) {
  const auto world = comm::Communicator::world();
  const SharedFolder folder{world};
  test::write_example({}, world, folder.path());  // items 3 and 17 of 23 are failed and unreadable
  io::OutcomeLimits limits{.section = "decouple",
                           .max_failed_share = 0.05,
                           .failed_items = "pictures failed",
                           .wanted_records = "part"};
  try {
    io::check_outcomes(world, folder.path(), limits);
    ADD_FAILURE() << "too many failed items went unnoticed";
  } catch (const DataError& error) {
    EXPECT_EQ(error.problems().front().what, "2 of 23 pictures failed, more than decouple.max_failed_share");
    EXPECT_EQ(error.problems().front().where, folder.path().string());
  }
  limits.max_failed_share = 0.1;
  limits.allow_empty = false;
  EXPECT_NO_THROW(io::check_outcomes(world, folder.path(), limits));
}

TEST(RecordStore, SegmentsMayBeWrittenInAnyOrder) {
  const auto world = comm::Communicator::world();
  const SharedFolder folder{world};
  const ExampleStore example;
  {
    io::StoreWriter writer{world, folder.path() / "backwards", example.description()};
    auto segments = writer.missing_segments();
    std::reverse(segments.begin(), segments.end());
    for (const std::int64_t segment : segments) {
      writer.write_segment(segment, dealt(example, world, writer.items_of(segment), Deal::round_robin));
    }
    writer.finish();
  }
  write_example(example, world, folder.path() / "forwards");
  if (world.is_root()) expect_same_folders(folder.path() / "backwards", folder.path() / "forwards");
}

TEST(RecordStore, AStoppedStoreContinuesWithTheMissingSegments) {
  const auto world = comm::Communicator::world();
  const SharedFolder folder{world};
  const ExampleStore example;
  {
    io::StoreWriter writer{world, folder.path() / "stopped", example.description()};
    for (const std::int64_t segment : {3, 1}) {
      writer.write_segment(segment, dealt(example, world, writer.items_of(segment), Deal::reversed));
    }
    EXPECT_FALSE(writer.complete());
  }
  EXPECT_THROW(io::StoreReader{folder.path() / "stopped"}, DataError);
  const io::StoreReader half{folder.path() / "stopped", io::StoreReader::Check::hashes,
                             /*allow_unfinished=*/true};
  EXPECT_EQ(half.outcomes().items, 10);
  world.barrier("reading half a store");
  {
    io::StoreWriter writer{world, folder.path() / "stopped", example.description()};
    EXPECT_THAT(writer.missing_segments(), testing::ElementsAre(0, 2, 4));
  }
  write_example(example, world, folder.path() / "stopped");
  write_example(example, world, folder.path() / "undisturbed");
  if (world.is_root()) expect_same_folders(folder.path() / "stopped", folder.path() / "undisturbed");
  io::StoreWriter again{world, folder.path() / "stopped", example.description()};
  EXPECT_TRUE(again.complete());
  EXPECT_TRUE(again.missing_segments().empty());
}

TEST(RecordStore, AFolderMadeWithAnotherDescriptionIsRefusedWithAllDifferences) {
  const auto world = comm::Communicator::world();
  const SharedFolder folder{world};
  write_example({}, world, folder.path());
  auto other = ExampleStore{}.description();
  other.stage = "generate";
  other.sources[4] = "elsewhere.png";
  try {
    const io::StoreWriter writer{world, folder.path(), other};
    FAIL() << "the folder was taken";
  } catch (const DataError& error) {
    EXPECT_EQ(error.problems().size(), 2u);
    EXPECT_THAT(error.what(), testing::AllOf(testing::HasSubstr("generate"), testing::HasSubstr("number 4"),
                                             testing::HasSubstr("elsewhere.png")));
  }
}

TEST(RecordStore, WhatDoesNotFitASegmentIsRefusedOnAllRanksAtOnce) {
  const auto world = comm::Communicator::world();
  const SharedFolder folder{world};
  const ExampleStore example;
  io::StoreWriter writer{world, folder.path(), example.description()};
  auto results = dealt(example, world, writer.items_of(0), Deal::round_robin);
  if (world.is_root()) {
    results[0].records[0].pixels.pop_back();
    results.push_back(example.result(17));
    std::erase_if(results, [](const io::ItemResult& result) { return result.item == 4; });
  }
  if (world.rank() == 4 % world.size())
    std::erase_if(results, [](const io::ItemResult& result) { return result.item == 4; });
  try {
    writer.write_segment(0, std::move(results));
    FAIL() << "the segment was written";
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), testing::AllOf(testing::HasSubstr("item 4 has no result"),
                                             testing::HasSubstr("item 17 is not in the segment"),
                                             testing::HasSubstr("do not fit a size")));
  }
  EXPECT_THROW(writer.finish(), DataError);
  writer.write_segment(0, dealt(example, world, writer.items_of(0), Deal::round_robin));
  EXPECT_THROW(writer.write_segment(0, {}), DataError) << "finished segments never change";
}

TEST(RecordStore, RanksThatDescribeTheStoreDifferentlyAreRefused) {
  const auto world = comm::Communicator::world();
  if (world.size() == 1) return;  // one rank agrees with itself
  const SharedFolder folder{world};
  auto description = ExampleStore{}.description();
  if (world.rank() == 1) description.stage = "something else";
  EXPECT_THROW((io::StoreWriter{world, folder.path(), description}), DataError);
}

TEST(RecordStore, NamesThatAreNotUtf8CostNothing) {
  const auto world = comm::Communicator::world();
  const SharedFolder folder{world};
  const ExampleStore example{.items = 2};
  auto description = example.description();
  description.sources[0] = "caf\xe9.png";
  const auto write = [&] {
    io::StoreWriter writer{world, folder.path(), description};
    for (const std::int64_t segment : writer.missing_segments()) {
      auto results = dealt(example, world, writer.items_of(segment), Deal::round_robin);
      if (!results.empty()) results[0].reason = "bad name \xff";
      writer.write_segment(segment, std::move(results));
    }
    const bool was_complete = writer.complete();
    writer.finish();
    return was_complete;
  };
  EXPECT_FALSE(write());
  EXPECT_TRUE(write());
  EXPECT_EQ(io::StoreReader{folder.path()}.remarks().size(),
            static_cast<std::size_t>(std::min(2, world.size())));
}

}  // namespace
}  // namespace deda
