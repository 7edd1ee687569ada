// Files that are complete or absent, and errors that say what to do.
#include "core/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <tuple>

#include "core/error.h"
#include "support/temporary_folder.h"

namespace deda {
namespace {

using testing::AllOf;
using testing::HasSubstr;

template <class Work>
std::string message_of(Work work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing thrown";
}

std::size_t entries(const fs::path& folder) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator{folder}, fs::directory_iterator{}));
}

TEST(WriteAtomically, WritesReplacesAndLeavesNothingBeside) {
  const test::TemporaryFolder folder;
  const fs::path path = folder / "a.txt";
  write_atomically(path, "one");
  write_atomically(path, std::string(3'000'000, 'x'));
  EXPECT_EQ(read_text(path), std::string(3'000'000, 'x'));
  EXPECT_EQ(entries(folder.path()), 1u);
}

TEST(NewFiles, HaveTheModeThatTheMaskLeaves) {
  for (const auto& [mask, file_mode, folder_mode] :
       {std::tuple{0002, 0664u, 0775u}, {0022, 0644u, 0755u}, {0077, 0600u, 0700u}}) {
    const test::TemporaryFolder folder;
    const mode_t before = umask(static_cast<mode_t>(mask));
    make_folder(folder / "inner");
    write_atomically(folder / "inner" / "whole", "x");
    append_line(folder / "inner" / "lines", "x");
    umask(before);
    const auto mode_of = [](const fs::path& path) {
      struct stat status {};
      return stat(path.c_str(), &status) == 0 ? status.st_mode & 0777 : 0u;
    };
    EXPECT_EQ(mode_of(folder / "inner"), folder_mode);
    EXPECT_EQ(mode_of(folder / "inner" / "whole"), file_mode);
    EXPECT_EQ(mode_of(folder / "inner" / "lines"), file_mode);
  }
}

TEST(WriteAtomically, TakesOverThePartialFileOfADeadProcessWithTheSameNumber) {
  const test::TemporaryFolder folder;
  std::ofstream{folder / ("a.partial." + std::to_string(getpid()))} << "torn";
  write_atomically(folder / "a", "whole");
  EXPECT_EQ(read_text(folder / "a"), "whole");
  EXPECT_EQ(entries(folder.path()), 1u);
}

TEST(WriteAtomically, KeepsTheOldFileWhenTheNewOneDoesNotFit) {
  const test::TemporaryFolder folder;
  const fs::path path = folder / "a";
  write_atomically(path, "old");
  // A limit on the file size ends the write half-way, as a full disk does.
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small{1000, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  const std::string message = message_of([&] { write_atomically(path, std::string(5000, 'n')); });
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_THAT(message, AllOf(HasSubstr(path.string()), HasSubstr("cannot write")));
  EXPECT_EQ(read_text(path), "old");
  EXPECT_EQ(entries(folder.path()), 1u);
}

TEST(WriteAtomically, NamesThePathTheReasonAndTheCureWhenTheFolderIsMissing) {
  const test::TemporaryFolder folder;
  const std::string message = message_of([&] { write_atomically(folder.path() / "none" / "a", "x"); });
  EXPECT_THAT(message,
              AllOf(HasSubstr("none/a"), HasSubstr("No such file or directory"), HasSubstr("spelling")));
}

TEST(WriteAtomically, RefusesAPathThatIsAFolder) {
  const test::TemporaryFolder folder;
  fs::create_directory(folder / "a");
  EXPECT_THROW(write_atomically(folder / "a", "x"), IoError);
  EXPECT_EQ(entries(folder.path()), 1u);
}

TEST(AppendLine, SaysThatTheDiskIsFull) {
  EXPECT_THAT(message_of([] { append_line("/dev/full", "x"); }),
              AllOf(HasSubstr("No space left"), HasSubstr("free space")));
}

TEST(AppendLine, ClosesATornLineFirst) {
  const test::TemporaryFolder folder;
  const fs::path path = folder / "ledger";
  append_line(path, "one", true);
  std::ofstream{path, std::ios::app} << "to";
  append_line(path, "three");
  EXPECT_EQ(read_text(path), "one\nto\nthree\n");
}

TEST(ReadText, RefusesFoldersMissingFilesAndFilesThatAreTooLarge) {
  const test::TemporaryFolder folder;
  EXPECT_THAT(message_of([&] { read_text(folder.path()); }), HasSubstr("folder"));
  EXPECT_THAT(message_of([&] { read_text(folder / "none"); }), HasSubstr("No such file"));
  write_atomically(folder / "large", "12345");
  EXPECT_THROW(read_text(folder / "large", 4), DataError);
  EXPECT_EQ(read_text(folder / "large", 5), "12345");
  EXPECT_THROW(read_bytes("/dev/zero", 1000), DataError);
}

TEST(ReadBytes, ReadsFilesThatDoNotKnowTheirSize) {
  EXPECT_FALSE(read_bytes("/proc/self/status").empty());
}

TEST(RenameDurably, MovesBetweenFolders) {
  const test::TemporaryFolder folder;
  make_folder(folder.path() / "x" / "y");
  write_atomically(folder / "a", "1");
  rename_durably(folder / "a", folder.path() / "x" / "y" / "b");
  EXPECT_EQ(read_text(folder.path() / "x" / "y" / "b"), "1");
  EXPECT_FALSE(fs::exists(folder / "a"));
  EXPECT_THROW(rename_durably(folder / "a", folder / "b"), IoError);
}

TEST(MakeFolder, SaysThatAFileIsInTheWay) {
  const test::TemporaryFolder folder;
  write_atomically(folder / "a", "1");
  EXPECT_THAT(message_of([&] { make_folder(folder.path() / "a" / "b"); }),
              HasSubstr("file where a folder is needed"));
  EXPECT_THROW(make_folder(folder / "a"), IoError);
  EXPECT_NO_THROW(make_folder(folder.path()));
}

}  // namespace
}  // namespace deda
