// Folders as people have them: every entry is a picture, an entered folder, or left out under a kind with its
// name.
#include "data/folder_listing.h"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "core/error.h"
#include "data/reader.h"
#include "support/temporary_folder.h"

namespace deda::data {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

struct Folder {
  test::TemporaryFolder folder;
  void file(const std::string& name) {
    fs::create_directories((folder / name).parent_path());
    std::ofstream(folder / name) << "x";
  }
  void link(const std::string& target, const std::string& name) {
    fs::create_directories((folder / name).parent_path());
    fs::create_symlink(target, folder / name);
  }
  FolderListing list() { return list_folder(folder.path()); }
};

TEST(FolderListing, SortsEverythingByItsKind) {
  Folder it;
  for (const char* name :
       {"a/x.jpg", "a/y.JFIF", "a/z.ppm", "a/phone.heic", "a/notes.txt", "a/none", "a/.hidden.png",
        "a/._x.jpg", "a/Thumbs.db", "a/@eaDir/x.jpg/SYNOPHOTO_THUMB_M.jpg", "__MACOSX/a/._x.jpg",
        ".git/x.png", "a/deep/er/w.tif"})
    it.file(name);
  fs::create_directories(it.folder / "empty");
  it.link("/nowhere/x.png", "a/dangling.png");
  it.link("self.png", "a/self.png");
  it.link("..", "a/up");
  ASSERT_EQ(mkfifo((it.folder / "a/pipe.png").c_str(), 0600), 0);
  FolderListing listing = it.list();
  EXPECT_THAT(listing.pictures, ElementsAre("a/deep/er/w.tif", "a/x.jpg", "a/y.JFIF", "a/z.ppm"));
  EXPECT_THAT(listing.folders, ElementsAre("a", "a/deep", "a/deep/er", "empty"));
  EXPECT_THAT(listing.left_out[LeftOut::other_picture], ElementsAre("a/phone.heic"));
  EXPECT_THAT(listing.left_out[LeftOut::no_picture], ElementsAre("a/none", "a/notes.txt"));
  EXPECT_THAT(listing.left_out[LeftOut::hidden], ElementsAre(".git/", "a/.hidden.png"));
  EXPECT_THAT(listing.left_out[LeftOut::clutter],
              ElementsAre("__MACOSX/", "a/._x.jpg", "a/@eaDir/", "a/Thumbs.db"));
  EXPECT_THAT(listing.left_out[LeftOut::dead_link], ElementsAre("a/dangling.png", "a/self.png"));
  EXPECT_THAT(listing.left_out[LeftOut::loop], ElementsAre("a/up/"));
  EXPECT_THAT(listing.left_out[LeftOut::special], ElementsAre("a/pipe.png"));
  const auto notes = notes_on(listing);
  EXPECT_EQ(notes.size(), 7u) << "one a kind";
  EXPECT_THAT(notes,
              testing::Contains(
                  "left out: 1 picture of a kind that is not read (save as PNG or JPEG): a/phone.heic"));
}

TEST(FolderListing, FollowsLinksAndTellsFoldersThatAreThereTwice) {
  Folder it;
  it.file("real/x.png");
  it.link("real", "same");
  it.link("real/x.png", "y.png");
  const FolderListing listing = it.list();
  EXPECT_THAT(listing.pictures, ElementsAre("real/x.png", "same/x.png", "y.png"));
  EXPECT_THAT(listing.doubles, ElementsAre(Pair("same", "real")));
}

TEST(FolderListing, PassesOverAFolderHoweverItIsReached) {
  Folder it;
  it.file("cat/x.png");
  it.file("masks/cat/x.png");
  it.link("masks", "by_link");
  const auto masks = identity_of(it.folder.path().string() + "/cat/../masks//");
  ASSERT_TRUE(masks);
  EXPECT_THAT(list_folder(it.folder.path(), {*masks}).pictures, ElementsAre("cat/x.png"));
}

TEST(FolderListing, TellsFoldersThatMayNotBeRead) {
  if (geteuid() == 0) {
    // Root may read everything: the rest of the test as nobody, in a process of its own.
    const pid_t child = fork();
    if (child == 0) {
      if (setgid(65534) != 0 || setuid(65534) != 0) _exit(77);
      Folder it;
      it.file("cat/x.png");
      it.file("dog/x.png");
      it.file("fox/x.png");
      ::chmod((it.folder / "dog").c_str(), 0);
      ::chmod((it.folder / "fox").c_str(), 0400);  // listed, but nothing in it may be looked at
      const FolderListing listing = it.list();
      const bool told = listing.unreadable.size() == 2 && listing.unreadable.count("dog") == 1 &&
                        listing.unreadable.count("fox") == 1 && listing.pictures.size() == 1;
      bool refused = false;
      try {
        list_pictures(it.folder.path());
      } catch (const DataError& error) {
        refused = std::string{error.what()}.find("dog: cannot be read") != std::string::npos;
      }
      ::chmod((it.folder / "dog").c_str(), 0700);
      ::chmod((it.folder / "fox").c_str(), 0700);
      for (const char* name : {"cat", "dog", "fox"}) fs::remove_all(it.folder / name);
      rmdir(it.folder.path().c_str());
      _exit(told && refused ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "this root cannot become another user";
    EXPECT_EQ(status, 0);
    return;
  }
  Folder it;
  it.file("dog/x.png");
  ::chmod((it.folder / "dog").c_str(), 0);
  const FolderListing listing = it.list();
  ::chmod((it.folder / "dog").c_str(), 0700);
  EXPECT_THAT(listing.unreadable, ElementsAre(Pair("dog", HasSubstr("ermission"))));
}

}  // namespace
}  // namespace deda::data
