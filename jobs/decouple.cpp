// `deda decouple`: pictures -> CDP and CIP records in a store.
#include "decoupling/decouple.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "core/log.h"
#include "data/dataset.h"
#include "jobs/job.h"

namespace deda::jobs {

namespace {

void print_outcomes(const std::filesystem::path& folder) {
  const io::StoreReader store(folder);
  const io::OutcomeCount outcomes = store.outcomes();
  fmt::print("{:<16} {:>9}\n", "outcome", "pictures");
  std::int64_t sum = 0;
  for (const auto& [outcome, count] : outcomes.counts) {
    fmt::print("{:<16} {:>9}\n", io::name_of(outcome), count);
    sum += count;
  }
  fmt::print("{:<16} {:>9}{}\n{} records in {}\n", "all", outcomes.items,
             sum == outcomes.items ? "" : "  (counts do not add up: the store is damaged)", store.size(),
             folder.string());
  constexpr int most_listed = 10;
  int listed = 0;
  for (const auto& [item, remark] : store.remarks()) {
    if (remark.first == io::Outcome::done) continue;
    if (listed++ == most_listed) {
      fmt::print("... more in {}/manifest.json\n", folder.string());
      break;
    }
    fmt::print("  {}: {}: {}\n", store.description().sources[static_cast<std::size_t>(item)],
               io::name_of(remark.first), remark.second);
  }
}

int worker_threads(const comm::Communicator& ranks, std::int64_t configured) {
  if (configured > 0) return static_cast<int>(configured);
  const int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  return std::max(1, cores / ranks.local_size());
}

ExitCode run(JobContext& context) {
  const auto& config = context.config;
  std::vector<std::string> notes;
  data::Dataset dataset;
  context.ranks.agree("reading the dataset",
                      [&] { dataset = data::load_dataset(config.dataset, {}, &notes); });
  if (context.ranks.is_root()) {
    for (const std::string& note : notes) log_warning("{}", note);
  }
  const auto folder =
      stage_folder(config.run.output, "decouple", decoupling::decouple_identity(dataset, config.decouple));
  const std::size_t pictures = decoupling::decouple_items(dataset, config.decouple).size();
  if (context.options.dry_run) {
    if (context.ranks.is_root())
      fmt::print("would decouple {} pictures of {} ({} classes) into {}\n", pictures, dataset.name,
                 dataset.class_names.size(), folder.string());
    return ExitCode::done;
  }
  if (context.ranks.is_root())
    log_info("decoupling {} pictures of {} ({} classes) on {} ranks into {}", pictures, dataset.name,
             dataset.class_names.size(), context.ranks.size(), folder.string());
  const bool was_complete = decoupling::decouple(
      context.ranks, {dataset, config.decouple, folder, worker_threads(context.ranks, config.run.threads),
                      context.options.trace, context.options.trace ? context.options.trace_steps : 0});
  if (context.ranks.is_root()) {
    if (was_complete) log_info("already done: {}", folder.string());
    print_outcomes(folder);
  }
  return ExitCode::done;
}

}  // namespace

Job make_decouple_job() {
  return {.name = "decouple",
          .summary = "Split pictures into class-dependent and class-independent parts",
          .example = "mpirun -n 4 deda decouple --config configs/demo.toml",
          .add_options = {},
          .run = run};
}

}  // namespace deda::jobs
