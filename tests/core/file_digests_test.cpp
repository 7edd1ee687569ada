// Digests of files: by content alone, read once, never trusted too early.
#include "core/file_digests.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <fstream>

#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"
#include "support/temporary_folder.h"

namespace deda {
namespace {

namespace fs = std::filesystem;

// A file whose last change is long ago: only such digests are kept. The change time cannot be set, so the
// test waits for it where it needs the cache.
void make_older(const fs::path& file) {
  fs::last_write_time(file, fs::file_time_type::clock::now() - std::chrono::hours(1));
}

void wait_until_settled(const fs::path& file) {
  struct stat status {};
  do {
    ASSERT_EQ(::stat(file.c_str(), &status), 0);
    ::usleep(50'000);
  } while (std::time(nullptr) < status.st_ctim.tv_sec + 3);
}

TEST(FileDigests, AreThoseOfTheBytes) {
  const test::TemporaryFolder folder;
  const std::string text(3'000'000, 'x');  // several blocks
  write_atomically(folder / "a", text);
  write_atomically(folder / "b", text);
  write_atomically(folder / "empty", "");
  FileDigests digests{{}};
  EXPECT_EQ(digests.of(folder / "a"), xxhash128_hex(text));
  EXPECT_EQ(digests.of(folder / "b"), digests.of(folder / "a"));
  EXPECT_EQ(digests.of(folder / "empty"), xxhash128_hex(""));
  EXPECT_THROW(digests.of(folder / "nowhere"), IoError);
  EXPECT_THROW(digests.of(folder.path()), IoError);
  EXPECT_THAT(digests.of({folder / "a", folder / "nowhere", folder / "empty"}, 2),
              testing::ElementsAre(xxhash128_hex(text), "absent", xxhash128_hex("")));
}

TEST(FileDigests, ReadAFileOnceAndAgainWhenItChanges) {
  const test::TemporaryFolder folder;
  const auto file = folder / "weights", cache = folder / "cache" / "file-digests";
  write_atomically(file, "first");
  make_older(file);
  wait_until_settled(file);
  const auto digest_and_bytes = [&] {
    FileDigests digests{cache};
    auto digest = digests.of(file);
    EXPECT_TRUE(digests.save());
    return std::pair{digest, digests.bytes_read()};
  };
  const auto [first, read] = digest_and_bytes();
  EXPECT_EQ(read, 5u);
  EXPECT_EQ(digest_and_bytes(), (std::pair{first, std::uint64_t{0}}));
  // In place, at the same number of bytes and with the old time of modification.
  std::ofstream(file) << "other";
  make_older(file);
  EXPECT_EQ(digest_and_bytes(), (std::pair{xxhash128_hex("other"), std::uint64_t{5}}));
  EXPECT_EQ(digest_and_bytes().second, 5u)
      << "it changed a moment ago: another change might not show in its times";
}

TEST(FileDigests, TakeADamagedOrForeignCacheForAnEmptyOne) {
  const test::TemporaryFolder folder;
  const auto file = folder / "weights", cache = folder / "file-digests";
  write_atomically(file, "weights");
  for (const std::string& text : {std::string{"something else"},
                                  std::string{"deda-digests-1\n"} + std::string(70, 'x'), std::string{}}) {
    write_atomically(cache, text);
    FileDigests digests{cache};
    EXPECT_EQ(digests.of(file), xxhash128_hex("weights"));
    EXPECT_TRUE(digests.save());
  }
}

TEST(FileDigests, DoWithoutAPlaceForTheCache) {
  const test::TemporaryFolder folder;
  const auto file = folder / "weights";
  write_atomically(file, "weights");
  make_older(file);
  wait_until_settled(file);
  FileDigests digests{folder / "weights" / "no folder" / "file-digests"};
  EXPECT_EQ(digests.of(file), xxhash128_hex("weights"));
  EXPECT_FALSE(digests.save());
}

}  // namespace
}  // namespace deda
