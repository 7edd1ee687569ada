// Event files stay JSON lines whatever happened to the run before.
#include "core/events.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "core/files.h"
#include "support/temporary_folder.h"

namespace deda {
namespace {

std::vector<std::string> lines_of(const fs::path& path) {
  std::vector<std::string> lines;
  std::istringstream text{read_text(path)};
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  return lines;
}

TEST(EventLog, WritesOneJsonObjectPerLine) {
  const test::TemporaryFolder folder;
  const EventLog silent;
  EventLog log{folder.path() / "events", 3, "train"};
  log.write(7, "loss", 0.25, {{"epoch", std::int64_t{2}}, {"finite", true}});
  log.write(8, "loss", std::nan(""), {{"note", std::string{"caf\xc3\xa9 \xff \"quoted\"\n"}}});
  const auto lines = lines_of(folder.path() / "events" / "events-3.jsonl");
  ASSERT_EQ(lines.size(), 2u);
  const auto first = nlohmann::json::parse(lines[0]);
  EXPECT_EQ(first["rank"], 3);
  EXPECT_EQ(first["stage"], "train");
  EXPECT_EQ(first["step"], 7);
  EXPECT_EQ(first["name"], "loss");
  EXPECT_EQ(first["value"], 0.25);
  EXPECT_EQ(first["epoch"], 2);
  EXPECT_EQ(first["finite"], true);
  EXPECT_GT(first["time"].get<double>(), 1.6e9);
  EXPECT_EQ(nlohmann::json::parse(lines[1])["value"], "nan");
}

TEST(EventLog, ClosesTheTornLineOfAKilledRun) {
  const test::TemporaryFolder folder;
  std::ofstream{folder / "events-0.jsonl"} << "{\"time\": 1}\n{\"ti";
  EventLog log{folder.path(), 0, "train"};
  log.write(1, "loss", 1.0);
  const auto lines = lines_of(folder / "events-0.jsonl");
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[1], "{\"ti");
  EXPECT_EQ(nlohmann::json::parse(lines[2])["step"], 1);
}

TEST(EventLog, KeepsLinesWholeWhenThreadsWriteTogether) {
  const test::TemporaryFolder folder;
  EventLog log{folder.path(), 0, "train"};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&log, t] {
      for (std::int64_t i = 0; i < 200; ++i) log.write(i, "thread", std::int64_t{t});
    });
  }
  for (auto& thread : threads) thread.join();
  const auto lines = lines_of(folder / "events-0.jsonl");
  EXPECT_EQ(lines.size(), 800u);
  for (const auto& line : lines) EXPECT_TRUE(nlohmann::json::accept(line)) << line;
}

TEST(EventLog, IsSilentByDefault) {
  EXPECT_NO_THROW(EventLog{}.write(0, "nothing", true));
}

}  // namespace
}  // namespace deda
