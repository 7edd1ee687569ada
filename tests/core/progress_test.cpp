// Progress and log lines as a file and as a terminal see them.
#include "core/progress.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>
#include <thread>

#include "core/files.h"
#include "core/log.h"
#include "support/temporary_folder.h"

namespace deda {
namespace {

using testing::HasSubstr;
using testing::Not;

// Standard error goes to `descriptor` while this lives.
class RedirectedError {
 public:
  explicit RedirectedError(int descriptor) : saved_{dup(STDERR_FILENO)} {
    dup2(descriptor, STDERR_FILENO);
    set_up_log(0, 1);
  }
  ~RedirectedError() {
    dup2(saved_, STDERR_FILENO);
    close(saved_);
    set_up_log(0, 1);
  }

 private:
  int saved_;
};

template <class Work>
std::string written_to_file(Work work) {
  const test::TemporaryFolder folder;
  const int file = open((folder / "log").c_str(), O_CREAT | O_WRONLY, 0600);
  {
    const RedirectedError redirected{file};
    work();
  }
  close(file);
  return read_text(folder / "log");
}

template <class Work>
std::string written_to_terminal(Work work) {
  int controller = -1, terminal = -1;
  if (openpty(&controller, &terminal, nullptr, nullptr, nullptr) != 0) return "";
  {
    const RedirectedError redirected{terminal};
    work();
  }
  fcntl(controller, F_SETFL, O_NONBLOCK);
  std::string text;
  std::array<char, 4096> piece{};
  for (ssize_t count = 0; (count = read(controller, piece.data(), piece.size())) > 0;)
    text.append(piece.data(), static_cast<std::size_t>(count));
  close(terminal);
  close(controller);
  return text;
}

TEST(Progress, WritesOneFinalLineWithoutCarriageReturnsToAFile) {
  const std::string text = written_to_file([] {
    Progress progress{"decouple", "images", 200, true};
    for (std::uint64_t i = 0; i <= 200; ++i) progress.advance_to(i, "3 without object");
    std::this_thread::sleep_for(std::chrono::milliseconds{60});
    progress.finish();
    progress.finish();
  });
  EXPECT_THAT(text, HasSubstr("decouple: 200/200 images"));
  EXPECT_THAT(text, HasSubstr("images/s"));
  EXPECT_THAT(text, HasSubstr("took"));
  EXPECT_THAT(text, HasSubstr("3 without object"));
  EXPECT_THAT(text, Not(HasSubstr("\r")));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
}

TEST(Progress, CountsTheRateFromWhereAnEarlierRunEnded) {
  const std::string text = written_to_file([] {
    Progress progress{"train", "steps", 1000010, true};
    progress.advance_to(1000000);
    std::this_thread::sleep_for(std::chrono::milliseconds{100});
    progress.advance_to(1000010);
  });
  const std::size_t rate = text.find("steps, ");
  ASSERT_NE(rate, std::string::npos) << text;
  EXPECT_LT(std::stod(text.substr(rate + 7)), 101.0) << text;
  EXPECT_GT(std::stod(text.substr(rate + 7)), 10.0) << text;
}

TEST(Progress, DrawsABarOnATerminal) {
  const std::string text = written_to_terminal([] {
    Progress progress{"decouple", "images", 100, true};
    progress.advance_to(0);
    std::this_thread::sleep_for(std::chrono::milliseconds{250});
    progress.advance_to(50);
  });
  EXPECT_THAT(text, HasSubstr("\r"));
  EXPECT_THAT(text, HasSubstr("[############............] decouple: 50/100 images"));
  EXPECT_THAT(text, HasSubstr("left"));
}

TEST(Progress, IsSilentOnOtherRanks) {
  EXPECT_EQ(written_to_file([] {
              Progress progress{"decouple", "images", 2, false};
              progress.advance_to(2);
            }),
            "");
}

TEST(Progress, SurvivesAnUnknownTotalAndNothingDone) {
  const std::string text = written_to_file([] {
    Progress unknown{"read", "rows", 0, true};
    unknown.advance_to(7);
    unknown.finish();
    Progress nothing{"wait", "rows", 0, true};
  });
  EXPECT_THAT(text, HasSubstr("read: 7 rows"));
  EXPECT_THAT(text, Not(HasSubstr("wait")));
}

TEST(Log, LetsOtherRanksOnlyWarnAndSaysWhoTheyAre) {
  const std::string text = written_to_file([] {
    set_up_log(3, 4);
    log_info("quiet {}", 1);
    log_warning("loud {}", 2);
  });
  EXPECT_THAT(text, Not(HasSubstr("quiet")));
  EXPECT_THAT(text, HasSubstr("[rank 3] warning: loud 2\n"));
}

TEST(Log, ShowsDebugLinesOnlyWhenAsked) {
  EXPECT_EQ(written_to_file([] { log_debug("hidden"); }), "");
  EXPECT_THAT(written_to_file([] {
                set_up_log(0, 1, LogLevel::debug);
                log_debug("seen");
              }),
              HasSubstr("seen"));
}

}  // namespace
}  // namespace deda
