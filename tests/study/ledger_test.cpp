// Ledgers and claims: one writer per file, one winner per attempt, damage passed over and told.
#include "study/ledger.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "core/error.h"
#include "core/files.h"
#include "study/claims.h"
#include "support/temporary_folder.h"

namespace deda::study {
namespace {

Attempt attempt_of(const std::string& item, std::int64_t number) {
  Attempt attempt;
  attempt.item = item;
  attempt.number = number;
  attempt.started = 10;
  attempt.slot_numbers = {0, 1};
  attempt.node = "n1";
  attempt.log = "x.log";
  return attempt;
}

TEST(Ledger, IsReadByOthersAsItGrows) {
  const test::TemporaryFolder folder;
  LedgerReader reader(folder.path());
  reader.refresh();
  EXPECT_TRUE(reader.attempts().empty());
  LedgerWriter writer(folder / "study-a", "a", "driver");
  auto attempt = attempt_of("train-1", 1);
  writer.started(attempt);
  reader.refresh();
  ASSERT_TRUE(reader.attempts().contains("train-1"));
  EXPECT_FALSE(reader.attempts().at("train-1").at(1).outcome);
  EXPECT_EQ(reader.attempts().at("train-1").at(1).slots, 2);
  attempt.ended = 12;
  attempt.outcome = Outcome::failed;
  attempt.message = "no \xff room";
  attempt.final = true;
  writer.ended(attempt);
  writer.forgiven("train-1", 1);
  LedgerWriter(folder / "study-b", "b", "other").started(attempt_of("train-1", 2));
  reader.refresh();
  const auto& first = reader.attempts().at("train-1").at(1);
  EXPECT_EQ(first.outcome, Outcome::failed);
  EXPECT_TRUE(first.final);
  EXPECT_EQ(first.message, "no \\xFF room");
  EXPECT_EQ(reader.attempts().at("train-1").at(2).study, "b");
  EXPECT_EQ(reader.forgiven("train-1"), 1);
}

TEST(Ledger, DamagedLinesAreToldAndPassedOver) {
  const test::TemporaryFolder folder;
  LedgerWriter writer(folder / "study-a", "a", "driver");
  writer.started(attempt_of("train-1", 1));
  {
    std::ofstream file(writer.file(), std::ios::app);
    file << "{\"event\": \"started\", \"item\"\nnonsense\n{\"event\": \"ended\", \"item\": \"train-2\"}\n";
  }
  writer.started(attempt_of("train-3", 1));
  {
    std::ofstream file(writer.file(), std::ios::app);
    file << "{\"event\": \"started\", \"it";  // on its way
  }
  LedgerReader reader(folder.path());
  reader.refresh();
  reader.refresh();
  EXPECT_EQ(reader.damaged().size(), 3u);
  EXPECT_NE(reader.damaged()[0].find("driver.jsonl:3"), std::string::npos) << reader.damaged()[0];
  EXPECT_TRUE(reader.attempts().contains("train-3"));
}

TEST(Claims, ExactlyOneWins) {
  const test::TemporaryFolder folder;
  constexpr int processes = 8, items = 40;
  std::vector<pid_t> children;
  for (int p = 0; p < processes; ++p) {
    children.push_back(::fork());
    if (children.back() == 0) {
      Claims claims(folder.path(), this_driver(), "study");
      std::ofstream won(folder / ("won-" + std::to_string(p)));
      for (int i = 0; i < items; ++i) {
        if (claims.take("item-" + std::to_string(i), 1)) won << i << '\n';
      }
      won.close();
      ::_exit(0);
    }
  }
  for (const pid_t child : children) ::waitpid(child, nullptr, 0);
  std::vector<int> winners(items, 0);
  for (int p = 0; p < processes; ++p) {
    std::ifstream won(folder / ("won-" + std::to_string(p)));
    for (int i = 0; won >> i;) ++winners[static_cast<std::size_t>(i)];
  }
  for (const int count : winners) EXPECT_EQ(count, 1);
  Claims looking(folder.path());
  looking.refresh();
  EXPECT_EQ(looking.latest("item-3"), 1);
  EXPECT_EQ(looking.latest("item-x"), 0);
  ASSERT_TRUE(looking.read("item-3", 1));
  EXPECT_TRUE(has_ended_here(looking.read("item-3", 1)->driver));
}

TEST(Claims, AFolderThatMayNotBeWritten) {
  EXPECT_THROW(Claims("/proc/nothing", this_driver(), "study"), IoError);
}

TEST(DriverWatch, TellsTheDeadFromTheSilent) {
  const test::TemporaryFolder folder;
  auto elsewhere = this_driver();
  elsewhere.host = "elsewhere";
  elsewhere.id = "elsewhere-1-1";
  Heartbeat heart(folder / "study-s", elsewhere);
  DriverWatch watch(folder.path(), 2.0);
  EXPECT_FALSE(watch.is_dead("s", elsewhere));
  std::this_thread::sleep_for(std::chrono::milliseconds{1500});
  EXPECT_FALSE(watch.is_dead("s", elsewhere));
  std::this_thread::sleep_for(std::chrono::milliseconds{1500});
  EXPECT_TRUE(watch.is_dead("s", elsewhere));  // stood still for the lease
  DriverWatch another(folder.path(), 100);
  EXPECT_FALSE(another.is_dead("s", elsewhere));
  heart.end();
  std::this_thread::sleep_for(std::chrono::milliseconds{1100});
  EXPECT_TRUE(another.is_dead("s", elsewhere));
  EXPECT_FALSE(watch.is_dead("s", this_driver()));
}

}  // namespace
}  // namespace deda::study
