// Damaged, cut and changed stores: always an error that names the place or a good store, never a crash, never
// wrong pixels.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <array>
#include <csignal>
#include <cstdio>

#include "core/error.h"
#include "io/example_store.h"
#include "io/store/segment_file.h"
#include "io/store/store_manifest.h"

namespace deda {
namespace {

using io::StoreReader;
using test::ExampleStore;
using testing::HasSubstr;

void flip_bit(const std::filesystem::path& path, std::uint64_t bit) {
  std::fstream file{path, std::ios::in | std::ios::out | std::ios::binary};
  file.seekg(static_cast<std::streamoff>(bit / 8));
  const int byte = file.get();
  file.seekp(static_cast<std::streamoff>(bit / 8));
  file.put(static_cast<char>(byte ^ (1 << (bit % 8))));
}

// Text of the DataError that reading gives; empty when the store is read without complaint.
std::string complaint(const std::filesystem::path& folder, StoreReader::Check check) {
  try {
    const StoreReader reader{folder, check};
    return {};
  } catch (const DataError& error) {
    return error.what();
  }
}

class StoreDamage : public testing::Test {
 protected:
  StoreDamage() { write_example(example, world, folder.path()); }
  std::filesystem::path segment(std::int64_t number) const {
    return folder.path() / io::name_of_segment(number);
  }
  io::SegmentEntry entry(std::int64_t number) const {
    return io::read_manifest(folder.path()).segments.at(number);
  }

  const comm::Communicator world = comm::Communicator::self();
  const ExampleStore example;
  const test::SharedFolder folder{world};
};

TEST_F(StoreDamage, AFlippedBitInARecordIsFoundAndTheRecordNamed) {
  const auto place = entry(1).pixels;
  flip_bit(segment(1), 8 * place.offset + 5);  // the first record of the second segment
  const StoreReader reader{folder.path()};
  std::vector<std::size_t> bad;
  for (std::size_t i = 0; i < reader.size(); ++i) {
    if (!reader.hash_matches(i)) bad.push_back(i);
  }
  ASSERT_EQ(bad.size(), 1u) << "the others are usable";
  EXPECT_EQ(reader.at(bad[0]).info.source_index, 5);
  EXPECT_THAT(complaint(folder.path(), StoreReader::Check::hashes),
              testing::AllOf(HasSubstr("segment-000001.h5"), HasSubstr("record 0 (source 5)")));
}

TEST_F(StoreDamage, AFlippedBitInThePaddingIsFoundByTheFullCheck) {
  const auto place = entry(0).pixels;
  flip_bit(segment(0), 8 * (place.offset + place.bytes) - 1);
  EXPECT_EQ(complaint(folder.path(), StoreReader::Check::sizes), "");
  EXPECT_THAT(complaint(folder.path(), StoreReader::Check::hashes), HasSubstr("between the records"));
}

TEST_F(StoreDamage, AFlippedBitAnywhereNeverCrashesAndNeverPasses) {
  RandomStream draw{3, Purpose::test, 0, 0};
  const auto good = entry(2);
  for (int i = 0; i < 200; ++i) {
    const std::uint64_t bit = draw.below(static_cast<std::uint32_t>(8 * good.bytes));
    const bool in_pixels = bit / 8 >= good.pixels.offset && bit / 8 < good.pixels.offset + good.pixels.bytes;
    flip_bit(segment(2), bit);
    EXPECT_THAT(complaint(folder.path(), StoreReader::Check::hashes), HasSubstr("segment-000002.h5"))
        << "bit " << bit;
    if (!in_pixels) {
      EXPECT_THAT(complaint(folder.path(), StoreReader::Check::sizes), HasSubstr("segment-000002.h5"))
          << "bit " << bit;
    }
    flip_bit(segment(2), bit);
  }
  EXPECT_EQ(complaint(folder.path(), StoreReader::Check::hashes), "");
}

TEST_F(StoreDamage, ACutOrMissingSegmentIsNamed) {
  const std::uint64_t whole = std::filesystem::file_size(segment(3));
  for (const std::uint64_t bytes : {whole - 1, whole / 2, std::uint64_t{96}, std::uint64_t{0}}) {
    std::filesystem::resize_file(segment(3), bytes);
    EXPECT_THAT(complaint(folder.path(), StoreReader::Check::sizes), HasSubstr("segment-000003.h5")) << bytes;
  }
  std::filesystem::remove(segment(3));
  EXPECT_THAT(complaint(folder.path(), StoreReader::Check::sizes),
              testing::AllOf(HasSubstr("segment-000003.h5"), HasSubstr("missing")));
}

TEST_F(StoreDamage, EveryDamagedSegmentIsListed) {
  std::filesystem::remove(segment(0));
  std::filesystem::resize_file(segment(4), 100);
  EXPECT_THAT(complaint(folder.path(), StoreReader::Check::sizes),
              testing::AllOf(HasSubstr("segment-000000.h5"), HasSubstr("segment-000004.h5")));
}

TEST_F(StoreDamage, AFlippedBitInTheManifestNeverPassesUnlessItIsOnlySpace) {
  const auto manifest = folder.path() / "manifest.json";
  const std::string good = read_text(manifest);
  RandomStream draw{4, Purpose::test, 0, 0};
  for (int i = 0; i < 300; ++i) {
    const std::uint64_t bit = draw.below(static_cast<std::uint32_t>(8 * good.size()));
    if (std::isspace(static_cast<unsigned char>(good[bit / 8]))) continue;
    flip_bit(manifest, bit);
    EXPECT_NE(complaint(folder.path(), StoreReader::Check::sizes), "") << "bit " << bit;
    flip_bit(manifest, bit);
  }
  for (std::size_t bytes = 0; bytes < good.size(); bytes += 97) {
    std::filesystem::resize_file(manifest, bytes);
    EXPECT_NE(complaint(folder.path(), StoreReader::Check::sizes), "") << bytes;
    write_atomically(manifest, good);
  }
}

TEST_F(StoreDamage, DamagedMetadataAndMissingFilesAreMadeAnewByTheStage) {
  const auto before = test::content_of(folder.path());
  flip_bit(segment(1), 8 * 300);
  std::filesystem::remove(segment(2));
  {
    io::StoreWriter writer{world, folder.path(), example.description()};
    EXPECT_FALSE(writer.complete());
    EXPECT_THAT(writer.missing_segments(), testing::ElementsAre(1, 2));
  }
  write_example(example, world, folder.path());
  EXPECT_TRUE(test::content_of(folder.path()) == before);
}

TEST_F(StoreDamage, ATornOrBrokenJournalLineCostsOnlyItsSegment) {
  const auto other = folder.path() / "other";
  {
    io::StoreWriter writer{world, other, example.description()};
    for (const std::int64_t number : {0, 1, 2})
      writer.write_segment(number, dealt(example, world, writer.items_of(number), test::Deal::round_robin));
  }
  const auto journal = other / "segments.jsonl";
  std::filesystem::resize_file(journal, std::filesystem::file_size(journal) - 20);
  flip_bit(journal, 8 * 40);
  {
    const io::StoreWriter writer{world, other, example.description()};
    EXPECT_THAT(writer.missing_segments(), testing::ElementsAre(0, 2, 3, 4));
  }
  write_example(example, world, other);
  std::error_code error;
  auto rest = test::content_of(other);
  std::filesystem::remove_all(other, error);
  EXPECT_TRUE(rest == test::content_of(folder.path()));
}

TEST_F(StoreDamage, FoldersThatAreNoStoreAreRefusedByName) {
  EXPECT_THAT(complaint(folder.path() / "nowhere", StoreReader::Check::sizes), HasSubstr("nowhere"));
  EXPECT_THAT(complaint(segment(0), StoreReader::Check::sizes), HasSubstr("no record store"));
}

TEST_F(StoreDamage, LeftoversOfAKilledRunAreRemoved) {
  write_atomically(folder.path() / "notes.partial.txt", "somebody's own");
  const auto before = test::content_of(folder.path());
  write_atomically(folder.path() / "segment-000007.h5.partial", "half");
  write_atomically(folder.path() / "looks-000001.jsonl.partial.4711", "half");
  write_atomically(folder.path() / "manifest.json.partial.4711", "half");
  write_atomically(folder.path() / "segments.jsonl", "half");
  { const io::StoreWriter writer{world, folder.path(), example.description()}; }
  EXPECT_TRUE(test::content_of(folder.path()) == before);
}

TEST_F(StoreDamage, AnyHdf5ToolOpensASegment) {
  FILE* pipe =
      popen(("h5dump -d outcome -d version -a segment " + segment(1).string() + " 2>&1").c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::array<char, 4096> buffer{};
  std::string output;
  while (const std::size_t n = fread(buffer.data(), 1, buffer.size(), pipe)) output.append(buffer.data(), n);
  const int status = pclose(pipe);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 127) GTEST_SKIP() << "h5dump is not installed";
  EXPECT_EQ(status, 0) << output;
  EXPECT_THAT(output,
              testing::AllOf(HasSubstr("\"nothing_found\""), HasSubstr("done, done"), HasSubstr("(0): 1")));
}

// RLIMIT_FSIZE makes the system refuse a larger file, as a full disk does.
TEST_F(StoreDamage, AFileSystemThatTakesNoMoreLosesNothingThatWasFinished) {
  const auto other = folder.path() / "full";
  const ExampleStore large{.items = 8, .items_per_segment = 4, .largest_side = 300};
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  {
    io::StoreWriter writer{world, other, large.description()};
    writer.write_segment(0, dealt(large, world, writer.items_of(0), test::Deal::round_robin));
    const rlimit small{100'000, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    EXPECT_THROW(writer.write_segment(1, dealt(large, world, writer.items_of(1), test::Deal::round_robin)),
                 IoError);
    setrlimit(RLIMIT_FSIZE, &before);
    EXPECT_FALSE(std::filesystem::exists(other / "segment-000001.h5"));
    EXPECT_THAT(writer.missing_segments(), testing::ElementsAre(1));
  }
  EXPECT_EQ((StoreReader{other, StoreReader::Check::hashes, true}.outcomes().items), 4);
  write_example(large, world, other);
  EXPECT_EQ(complaint(other, StoreReader::Check::hashes), "");
  std::filesystem::remove_all(other);
}

TEST_F(StoreDamage, AFolderThatMayNotBeWrittenIsAnError) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may write anywhere";
  std::filesystem::permissions(folder.path(),
                               std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
  auto other = example.description();
  EXPECT_THROW((io::StoreWriter{world, folder.path() / "new", other}), IoError);
  std::filesystem::permissions(folder.path(), std::filesystem::perms::owner_all);
}

TEST_F(StoreDamage, ASecondWriterIsRefusedAndToldWhoTheFirstIs) {
  const auto other = folder.path() / "locked";
  {
    const io::StoreWriter first{world, other, example.description()};
    try {
      const io::StoreWriter second{world, other, example.description()};
      FAIL() << "two writers at once";
    } catch (const FolderHeld& error) {
      EXPECT_THAT(error.what(), HasSubstr("process " + std::to_string(::getpid()) + " on "));
    }
  }
  EXPECT_FALSE(std::filesystem::exists(other / "writer.lock"));
  write_atomically(other / "writer.lock", "process 1 on elsewhere");  // left by a killed run
  EXPECT_NO_THROW((io::StoreWriter{world, other, example.description()}));
  std::filesystem::remove_all(other);
}

}  // namespace
}  // namespace deda
