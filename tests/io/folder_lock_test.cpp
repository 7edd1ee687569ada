// Who may write a folder: one run at a time, whoever's lock file lies there.
#include "io/store/folder_lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>

#include "core/error.h"
#include "core/files.h"
#include "support/temporary_folder.h"

namespace deda::io {
namespace {

constexpr uid_t somebody_else = 65534;
constexpr int locked = 10, held = 11, refused = 12;

// How another user fares who wants the folder; without root, the same user, who may only read the lock file.
int another_user_tries(const std::filesystem::path& folder) {
  const pid_t child = fork();
  if (child == 0) {
    if (getuid() == 0 && setuid(somebody_else) != 0) _exit(1);
    try {
      const FolderLock lock(folder);
      _exit(holder_of(folder).empty() ? 1 : locked);
    } catch (const FolderHeld&) {
      _exit(held);
    } catch (const Error&) {
      _exit(refused);
    }
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(FolderLock, IsHeldByOneRunAndToldApartFromBrokenData) {
  const test::TemporaryFolder folder;
  {
    const FolderLock lock(folder.path());
    try {
      const FolderLock second(folder.path());
      ADD_FAILURE() << "two runs hold it";
    } catch (const FolderHeld& error) {
      EXPECT_EQ(error.exit_code(), ExitCode::held);
      EXPECT_EQ(static_cast<int>(error.exit_code()), 76);
      EXPECT_THAT(error.what(), testing::HasSubstr("process "));
    }
  }
  EXPECT_NO_THROW(FolderLock{folder.path()});
  EXPECT_FALSE(std::filesystem::exists(lock_path(folder.path())));
}

TEST(FolderLock, IsTakenOverFromAKilledRunOfAnotherUser) {
  const test::TemporaryFolder folder;
  chmod(folder.path().c_str(), 0777);
  write_atomically(lock_path(folder.path()), "process 1 on elsewhere");
  chmod(lock_path(folder.path()).c_str(), 0444);
  EXPECT_EQ(another_user_tries(folder.path()), locked);
}

TEST(FolderLock, OfAnotherUserThatIsHeldIsRespected) {
  const test::TemporaryFolder folder;
  chmod(folder.path().c_str(), 0777);
  const FolderLock lock(folder.path());
  chmod(lock_path(folder.path()).c_str(), 0444);
  EXPECT_EQ(another_user_tries(folder.path()), held);
}

TEST(FolderLock, LeavesItsFileToTheGroupWhereTheMaskDoes) {
  const test::TemporaryFolder folder;
  const mode_t before = umask(0002);
  const FolderLock lock(folder.path());
  umask(before);
  struct stat status {};
  ASSERT_EQ(stat(lock_path(folder.path()).c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0664u);
}

}  // namespace
}  // namespace deda::io
