// Drivers on fake stages: order, sharing, failures, kills, stops.
#include "study/driver.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <random>
#include <sstream>
#include <thread>

#include "core/files.h"
#include "core/hash.h"
#include "core/stop.h"
#include "pipeline/state.h"
#include "study/status.h"
#include "support/temporary_folder.h"

namespace deda::study {
namespace {

namespace fs = std::filesystem;
using pipeline::Stage;

class Driver : public testing::Test {
 protected:
  Driver() {
    plan_.study.name = "fake";
    plan_.output = folder_.path();
    plan_.study.output = plan_.output;
  }

  // An item that takes so many seconds; `how` as in fake_stage.sh.
  std::size_t add(Stage stage, double seconds, std::vector<std::size_t> needs = {},
                  const std::string& how = "ok") {
    Item item;
    const std::string key = xxhash128_hex(std::to_string(plan_.items.size()));
    item.name = fmt::format("{}-{}", pipeline::name_of(stage), key.substr(0, 16));
    item.title = fmt::format("item {}", plan_.items.size());
    item.node.stage = stage;
    item.node.key = key;
    item.node.folder = plan_.output / item.name;
    item.node.needs = std::move(needs);
    item.node.work = {seconds, "seconds", fmt::format("kind {}", std::round(seconds))};
    item.node.command = {std::string{pipeline::name_of(stage)}, item.node.folder.string(),
                         fmt::format("{}", seconds), how};
    plan_.items.push_back(std::move(item));
    return plan_.items.size() - 1;
  }

  DriverResult drive_it(std::int64_t slots, DriverOptions options = {}) {
    LocalOptions local;
    local.program = fs::path{DEDA_SOURCE_DIR} / "tests/study/fake_stage.sh";
    local.slots = slots;
    local.cpu_only = true;
    const auto launcher = make_local_launcher(local);
    options.most_slots = 1;
    options.tell = [](const std::string&) {};
    return drive(plan_, *launcher, options);
  }

  // The same in a process of its own, as another driver or one that is killed.
  pid_t drive_apart(std::int64_t slots, double lease = 300) {
    const pid_t child = ::fork();
    if (child == 0) {
      int code = 1;
      try {
        install_stop_signals();
        DriverOptions options;
        options.lease_s = lease;
        const auto result = drive_it(slots, options);
        code = result.done == result.items ? 0 : result.stopped ? 75 : 1;
      } catch (const std::exception& error) {
        fmt::print(stderr, "{}\n", error.what());
      }
      ::_exit(code);
    }
    return child;
  }

  std::int64_t starts(std::size_t item) const { return lines(plan_.items[item].node.folder / "starts"); }
  static std::int64_t lines(const fs::path& file) {
    std::ifstream stream(file);
    std::int64_t count = 0;
    for (std::string line; std::getline(stream, line);) ++count;
    return count;
  }
  bool is_done(std::size_t item) const {
    return pipeline::state_of(plan_.items[item].node).progress == pipeline::Progress::done;
  }
  std::map<std::string, std::map<std::int64_t, Attempt>> attempts() const {
    LedgerReader reader(plan_.output);
    reader.refresh();
    return reader.attempts();
  }
  // Not only what nobody has fetched the end of.
  static bool is_running(int process) {
    std::ifstream file(fmt::format("/proc/{}/stat", process));
    std::string number, name, state;
    return (file >> number >> name >> state) && state != "Z";
  }
  static int wait_for(pid_t process) {
    int status = 0;
    ::waitpid(process, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  test::TemporaryFolder folder_;
  StudyPlan plan_;
};

TEST_F(Driver, RunsEverythingOnceInOrder) {
  const auto first = add(Stage::invert, 0.2);
  for (int i = 0; i < 4; ++i) add(Stage::train, 0.2, {first});
  const auto result = drive_it(2);
  EXPECT_EQ(result.done, 5);
  EXPECT_EQ(result.started, 5);
  const auto known = attempts();
  const double ready = known.at(plan_.items[first].name).at(1).ended;
  for (std::size_t i = 1; i < plan_.items.size(); ++i) {
    EXPECT_EQ(starts(i), 1);
    EXPECT_GE(known.at(plan_.items[i].name).at(1).started, ready);
  }
  const auto again = drive_it(2);
  EXPECT_EQ(again.done, 5);
  EXPECT_EQ(again.started, 0);
}

// 24 mixed items on two slots: the makespan against max(sum / 2, longest chain), and how long a slot stands
// idle.
TEST_F(Driver, PacksNearTheLowerBound) {
  std::mt19937 random(5);
  const bool full = std::getenv("DEDA_TEST_ALL") != nullptr;
  const double shortest = full ? 8 : 0.4, longest = full ? 40 : 2.0;
  double sum = 0;
  std::vector<double> chain;
  for (int i = 0; i < 24; ++i) {
    const double seconds =
        std::round(10 * std::uniform_real_distribution<double>(shortest, longest)(random)) / 10;
    std::vector<std::size_t> needs;
    if (i >= 4 && i % 3 == 0) needs = {static_cast<std::size_t>(i % 4)};
    add(i < 4 ? Stage::invert : Stage::train, seconds, needs);
  }
  // How long each really takes: a loop in a shell is not exact.
  ASSERT_EQ(drive_it(2).done, 24);
  const auto known = attempts();
  double begin = 1e18, end = 0;
  std::map<std::int64_t, std::vector<std::pair<double, double>>> by_slot;
  for (const auto& item : plan_.items) {
    const auto& attempt = known.at(item.name).at(1);
    const double took = attempt.ended - attempt.started;
    double before = 0;
    for (const auto needed : item.node.needs) before = std::max(before, chain[needed]);
    chain.push_back(before + took);
    sum += took;
    begin = std::min(begin, attempt.started);
    end = std::max(end, attempt.ended);
    by_slot[attempt.slot_numbers.front()].emplace_back(attempt.started, attempt.ended);
  }
  const double bound = std::max(sum / 2, *std::max_element(chain.begin(), chain.end()));
  std::vector<double> idle;
  for (auto& [slot, times] : by_slot) {
    std::sort(times.begin(), times.end());
    for (std::size_t i = 1; i < times.size(); ++i) idle.push_back(times[i].first - times[i - 1].second);
  }
  std::sort(idle.begin(), idle.end());
  const double median = idle[idle.size() / 2];
  fmt::print("makespan {:.2f} s, bound {:.2f} s, ratio {:.3f}; idle between items {:.3f} s (median)\n",
             end - begin, bound, (end - begin) / bound, median);
  EXPECT_LE((end - begin) / bound, 1.08);
  EXPECT_LE(median, 0.5);
}

TEST_F(Driver, FailuresByCause) {
  const auto data = add(Stage::train, 0.1, {}, "fail_3");
  const auto waits = add(Stage::train, 0.1, {data});
  const auto waits_too = add(Stage::train, 0.1, {waits});
  const auto crashes = add(Stage::train, 0.1, {}, "fail_1");
  const auto lies = add(Stage::train, 0.1, {}, "lie");
  const auto dies = add(Stage::train, 0.1, {}, "die");
  const auto once = add(Stage::train, 0.1, {}, "once_1");
  const auto held_once = add(Stage::train, 0.1, {}, "once_76");
  const auto fine = add(Stage::train, 0.1);
  const auto result = drive_it(2);
  EXPECT_EQ(result.done, 3);
  EXPECT_EQ(starts(data), 1);     // the same data fails alike
  EXPECT_EQ(starts(crashes), 3);  // two retries
  EXPECT_EQ(starts(lies), 3);     // code 0 without a result is lost
  EXPECT_EQ(starts(dies), 3);
  EXPECT_EQ(starts(once), 2);
  EXPECT_EQ(starts(held_once), 2);
  EXPECT_TRUE(is_done(fine) && is_done(once) && is_done(held_once));
  EXPECT_EQ(result.failed.size(), 4u);
  EXPECT_EQ(result.blocked.size(), 2u);
  EXPECT_EQ(starts(waits) + starts(waits_too), 0);
  const auto status = status_of(plan_, Machine::cpu_core);
  EXPECT_EQ(status.failed.size(), 4u);
  EXPECT_EQ(status.blocked.size(), 2u);
  const auto text = to_text(status);
  EXPECT_NE(text.find("this stage fails on purpose"), std::string::npos) << text;
  EXPECT_NE(text.find("no finished result"), std::string::npos) << text;

  // Another call leaves them alone; one that is told to tries them again.
  EXPECT_EQ(drive_it(2).started, 0);
  plan_.items[data].node.command.back() = "ok";
  DriverOptions options;
  options.retry_failed = true;
  const auto mended = drive_it(2, options);
  EXPECT_TRUE(is_done(data) && is_done(waits) && is_done(waits_too));
  EXPECT_EQ(starts(crashes), 6);
}

TEST_F(Driver, AWrongConfigurationEndsTheStudyAndSoDoEqualFailures) {
  for (int i = 0; i < 8; ++i) add(Stage::train, 0.1, {}, "fail_3");
  const auto result = drive_it(1);
  EXPECT_EQ(result.started, 3);  // stop_after
  EXPECT_NE(result.stop_reason.find("same message"), std::string::npos) << result.stop_reason;
  plan_.items.clear();
  plan_.study.name = "other";
  add(Stage::invert, 0.1, {}, "fail_2");
  for (int i = 0; i < 3; ++i) add(Stage::invert, 0.1);
  // The first item by name may be another: no more than those that ran beside it are started.
  const auto wrong = drive_it(1);
  EXPECT_LT(wrong.done, 4);
  EXPECT_NE(wrong.stop_reason.find("wrong configuration"), std::string::npos);
}

TEST_F(Driver, SeveralDriversStartEachItemOnce) {
  const int repetitions = std::getenv("DEDA_TEST_ALL") != nullptr ? 50 : 2;
  for (int repetition = 0; repetition < repetitions; ++repetition) {
    plan_.items.clear();
    fs::remove_all(plan_.output);
    fs::create_directories(plan_.output);
    for (int i = 0; i < 4; ++i) add(Stage::invert, 0.1);
    for (std::size_t i = 0; i < 36; ++i) add(Stage::train, 0.1, {i % 4});
    std::vector<pid_t> drivers;
    for (int i = 0; i < 3; ++i) drivers.push_back(drive_apart(2));
    for (const auto driver : drivers) EXPECT_EQ(wait_for(driver), 0);
    for (std::size_t i = 0; i < plan_.items.size(); ++i) ASSERT_EQ(starts(i), 1) << plan_.items[i].name;
    std::int64_t successes = 0;
    for (const auto& [item, numbers] : attempts()) {
      for (const auto& [number, attempt] : numbers) successes += attempt.outcome == Outcome::done ? 1 : 0;
    }
    EXPECT_EQ(successes, 40);
  }
}

// Their clocks are hours apart (odd_machine.cpp), as on nodes without NTP: nobody compares them.
TEST_F(Driver, ClocksThatAreHoursApartChangeNothing) {
  if (::dlsym(RTLD_DEFAULT, "deda_test_odd_machine") == nullptr)
    GTEST_SKIP() << "odd_machine is not loaded before this program (its CTest entry does)";
  for (int i = 0; i < 3; ++i) add(Stage::invert, 0.2);
  for (std::size_t i = 0; i < 12; ++i) add(Stage::train, 0.2, {i % 3}, i % 4 == 0 ? "once_76" : "ok");
  std::vector<pid_t> drivers;
  for (const char* shift : {"-3600", "0", "3600"}) {
    ::setenv("DEDA_TEST_CLOCK_SHIFT", shift, 1);
    drivers.push_back(drive_apart(1));
  }
  ::unsetenv("DEDA_TEST_CLOCK_SHIFT");
  const auto begin = std::chrono::steady_clock::now();
  for (const auto driver : drivers) EXPECT_EQ(wait_for(driver), 0);
  // A wait after code 76 that another clock began is no wait of an hour.
  EXPECT_LT(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(), 60);
  for (std::size_t i = 0; i < plan_.items.size(); ++i)
    EXPECT_EQ(starts(i), plan_.items[i].node.command.back() == "once_76" ? 2 : 1) << i;
}

TEST_F(Driver, AKilledDriverTakesItsRunsAlongAndTheNextOneGoesOn) {
  const int kills = std::getenv("DEDA_TEST_ALL") != nullptr ? 100 : 5;
  for (int i = 0; i < 6; ++i) add(Stage::train, kills > 5 ? 8 : 1.0);
  std::mt19937 random(3);
  for (int i = 0; i < kills; ++i) {
    const pid_t driver = drive_apart(2);
    std::this_thread::sleep_for(
        std::chrono::milliseconds(std::uniform_int_distribution<int>(50, 900)(random)));
    ::kill(driver, SIGKILL);
    wait_for(driver);
  }
  std::this_thread::sleep_for(std::chrono::milliseconds{500});
  // No orphan: what ran has noted that it was asked to stop, or had no time to begin.
  for (const auto& item : plan_.items) {
    std::ifstream file(item.node.folder / "starts");
    for (std::string line; std::getline(file, line);)
      EXPECT_FALSE(is_running(std::stoi(line))) << item.name << " still runs";
  }
  const auto result = drive_it(2);
  EXPECT_EQ(result.done, 6);
  EXPECT_TRUE(result.failed.empty());
}

TEST_F(Driver, StopsInTime) {
  for (int i = 0; i < 4; ++i) add(Stage::train, 3);
  const pid_t driver = drive_apart(2);
  std::this_thread::sleep_for(std::chrono::milliseconds{900});
  ::kill(driver, SIGUSR2);
  EXPECT_EQ(wait_for(driver), 75);
  std::int64_t stops = 0;
  for (const auto& item : plan_.items) stops += lines(item.node.folder / "stops");
  EXPECT_EQ(stops, 2);
  for (const auto& [item, numbers] : attempts()) EXPECT_EQ(numbers.at(1).outcome, Outcome::stopped);
  EXPECT_EQ(drive_it(4).done, 4);
}

// On its own host a stopped process is alive: nobody takes its item, and when it wakes up it goes on.
// (Another host sees a counter that stands still: DriverWatch, in ledger_test.cpp.)
TEST_F(Driver, ADriverThatSleptGoesOn) {
  add(Stage::train, 1.5);
  const pid_t sleeper = drive_apart(1);
  std::this_thread::sleep_for(std::chrono::milliseconds{500});
  ::kill(sleeper, SIGSTOP);
  auto claim = Claims(plan_.output);
  claim.refresh();
  ASSERT_EQ(claim.latest(plan_.items[0].name), 1);
  const pid_t other = drive_apart(1);
  std::this_thread::sleep_for(std::chrono::milliseconds{1500});
  EXPECT_EQ(starts(0), 1);
  ::kill(sleeper, SIGCONT);
  EXPECT_EQ(wait_for(other), 0);
  EXPECT_EQ(wait_for(sleeper), 0);
  EXPECT_EQ(starts(0), 1);
}

TEST_F(Driver, ManySmallItems) {
  for (int i = 0; i < 200; ++i) add(Stage::train, 0);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(drive_it(8).done, 200);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  fmt::print("{:.0f} items a second with every change on disk\n", 200 / seconds);
}

}  // namespace
}  // namespace deda::study
