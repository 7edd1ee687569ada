// Ranks that see different copies of a dataset end with an error that names the first difference and both
// hosts. Each rank has a folder of its own here, as if it were on another host.
#include "data/same_everywhere.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "core/error.h"
#include "support/temporary_folder.h"

namespace deda::data {
namespace {

class SameEverywhere : public testing::Test {
 protected:
  SameEverywhere() {
    dataset_.name = "birds";
    dataset_.root = folder_.path();
    dataset_.class_names = {"crow", "wren"};
    for (int i = 0; i < 100; ++i) {
      Item item;
      item.path = "picture-" + std::to_string(100 + i) + ".png";
      item.class_id = i % 2;
      write(item.path, "picture " + std::to_string(i % 7));
      if (i % 10 == 0) {
        item.mask = "mask-" + std::to_string(100 + i) + ".png";
        write(item.mask, "mask");
      }
      dataset_.items.push_back(item);
    }
  }

  void write(const std::string& name, const std::string& content) {
    std::ofstream(folder_.path() / name, std::ios::binary) << content;
  }

  bool odd_one() const { return world_.size() > 1 && world_.rank() == world_.size() - 1; }

  // What all ranks throw.
  std::string difference(FilesOf files = FilesOf::every_rank) {
    try {
      require_same_everywhere(world_, dataset_, files);
      return "none";
    } catch (const DataError& error) {
      return error.what();
    }
  }

  // Both sides of the difference, each with rank and host.
  void expect_difference(const std::string& there, const std::string& here) {
    const std::string text = difference();
    if (world_.size() == 1) {
      EXPECT_EQ(text, "none");
      return;
    }
    const std::string host = world_.host_names().front(), last = std::to_string(world_.size() - 1);
    EXPECT_NE(text.find(there + " for rank 0 on host " + host), std::string::npos) << text;
    EXPECT_NE(text.find(here + " for rank " + last + " on host " + host), std::string::npos) << text;
  }

  comm::Communicator world_ = comm::Communicator::world();
  test::TemporaryFolder folder_;
  Dataset dataset_;
};

TEST_F(SameEverywhere, EqualCopiesPass) {
  EXPECT_EQ(difference(), "none");
  EXPECT_EQ(difference(FilesOf::one_rank_per_host), "none");
}

TEST_F(SameEverywhere, APictureThatOneHostLacksIsNamed) {
  if (odd_one()) dataset_.items.erase(dataset_.items.begin() + 40);
  expect_difference("\"picture-140.png: class 0, split 0, mask mask-140.png (0)\"",
                    "\"picture-141.png: class 1, split 0\"");
}

TEST_F(SameEverywhere, AListThatIsShorterIsNamed) {
  if (odd_one()) dataset_.items.pop_back();
  expect_difference("\"picture-199.png: class 1, split 0\"", "nothing more");
}

TEST_F(SameEverywhere, OtherClassesAndOtherLabelsAreNamed) {
  if (odd_one()) dataset_.class_names[1] = "robin";
  expect_difference("\"class wren\"", "\"class robin\"");
  if (odd_one()) dataset_.class_names[1] = "wren", dataset_.items[7].class_id = 0;
  expect_difference("\"picture-107.png: class 1, split 0\"", "\"picture-107.png: class 0, split 0\"");
  if (odd_one()) dataset_.items[7].class_id = 1, dataset_.items[8].box = {1, 2, 3, 4};
  expect_difference("\"picture-108.png: class 0, split 0\"",
                    "\"picture-108.png: class 0, split 0, box 1,2,3,4\"");
}

TEST_F(SameEverywhere, AFileOfAnotherSizeOrWithoutItsBytesIsNamed) {
  if (odd_one()) write("mask-150.png", "another mask");
  expect_difference("\"mask-150.png: 4 bytes\"", "\"mask-150.png: 12 bytes\"");
  if (odd_one()) std::filesystem::remove(folder_.path() / "mask-150.png");
  expect_difference("\"mask-150.png: 4 bytes\"", "\"mask-150.png: not there\"");
}

TEST_F(SameEverywhere, OtherPicturesOfTheSameSizesAreNoticed) {
  if (odd_one()) {
    for (const Item& item : dataset_.items) write(item.path, "PICTURE 0");
  }
  const std::string text = difference();
  EXPECT_NE(
      text.find(world_.size() > 1 ? "the contents of files of the dataset differ between hosts" : "none"),
      std::string::npos)
      << text;
}

TEST_F(SameEverywhere, OnOneHostFilesAreNotLookedAt) {
  if (odd_one()) write("mask-150.png", "another mask");
  EXPECT_EQ(difference(FilesOf::one_rank_per_host), "none");
}

}  // namespace
}  // namespace deda::data
