// A study of fake stages (fake_stage.sh) as a program, for tests on a real Slurm: fake_study OUTPUT LAUNCHER
// ITEMS SECONDS [SLOTS]. Ends as `deda study run` does: 0 all done, 75 stopped, 1 else. Environment:
// FAKE_STUDY_CHAINED, every fourth item is needed by the three after it; FAKE_STUDY_MOST_WAIT_S, for a step
// to begin; DEDA_SRUN_MPI as for deda.
#include <fmt/format.h>

#include <cstdlib>

#include "core/error.h"
#include "core/hash.h"
#include "core/stop.h"
#include "study/driver.h"
#include "study/slurm_allocation.h"

int main(int argc, char** argv) {
  using namespace deda;
  if (argc < 5) return 2;
  try {
    install_stop_signals();
    study::StudyPlan plan;
    plan.study.name = "fake";
    plan.output = argv[1];
    const std::string launcher_name = argv[2];
    const int items = std::atoi(argv[3]);
    const double seconds = std::atof(argv[4]);
    const std::int64_t slots = argc > 5 ? std::atoi(argv[5]) : 0;
    const bool chained = std::getenv("FAKE_STUDY_CHAINED") != nullptr;
    for (int i = 0; i < items; ++i) {
      study::Item item;
      const std::string key = xxhash128_hex(std::to_string(i));
      const bool first = chained && i % 4 == 0;
      item.name = fmt::format("{}-{}", first ? "invert" : "train", key.substr(0, 16));
      item.title = fmt::format("item {}", i);
      item.node.stage = first ? pipeline::Stage::invert : pipeline::Stage::train;
      item.node.key = key;
      item.node.folder = plan.output / item.name;
      if (chained && !first) item.node.needs = {static_cast<std::size_t>(i - i % 4)};
      item.node.work = {seconds, "seconds", "fake"};
      item.node.command = {first ? "invert" : "train", item.node.folder.string(), fmt::format("{}", seconds),
                           "ok"};
      plan.items.push_back(std::move(item));
    }
    const std::filesystem::path program =
        std::filesystem::path{DEDA_SOURCE_DIR} / "tests/study/fake_stage.sh";
    std::unique_ptr<study::Launcher> launcher;
    if (launcher_name == "slurm") {
      study::SlurmOptions options;
      options.program = program;
      options.slots_per_node = slots;
      if (const char* mpi = std::getenv("DEDA_SRUN_MPI")) options.mpi = mpi;
      if (const char* wait = std::getenv("FAKE_STUDY_MOST_WAIT_S")) options.most_wait_s = std::atof(wait);
      launcher = study::make_slurm_launcher(options);
    } else {
      study::LocalOptions options;
      options.program = program;
      options.slots = slots;
      options.cpu_only = true;
      launcher = study::make_local_launcher(options);
    }
    study::DriverOptions options;
    options.most_slots = 1;
    options.stop_margin_s = 30;
    options.least_start_s = 15;
    options.tell = [](const std::string& line) {
      fmt::print("{}\n", line);
      std::fflush(stdout);
    };
    const auto result = study::drive(plan, *launcher, options);
    fmt::print("{} of {} done, {} started, {} failed{}{}\n", result.done, result.items, result.started,
               result.failed.size(), result.stop_reason.empty() ? "" : ": ", result.stop_reason);
    return result.done == result.items ? 0 : result.stopped ? 75 : 1;
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return static_cast<int>(error.exit_code());
  }
}
