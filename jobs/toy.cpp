// `deda toy`: draws the toy dataset.
#include "data/toy.h"

#include <fmt/format.h>

#include "core/escaped_name.h"
#include "core/log.h"
#include "jobs/job.h"
#include "jobs/worker_threads.h"

namespace deda::jobs {

namespace {

ExitCode run(JobContext& context) {
  const auto& config = context.config;
  const auto& root = config.dataset.root;
  if (root.empty())
    throw ConfigError("dataset.root is not set", "dataset.root",
                      "Name the folder that the toy dataset is drawn into.");
  const std::int64_t pictures =
      config.toy.classes * (config.toy.train_per_class + 2 * config.toy.test_per_class);
  if (context.options.dry_run) {
    if (context.ranks.is_root())
      fmt::print("would draw {} pictures of {} classes into {}\n", pictures, config.toy.classes,
                 path_text(root));
    return ExitCode::done;
  }
  const bool was_complete = data::make_toy_dataset(context.ranks, config.toy, root,
                                                   worker_threads(context.ranks, config.run.threads));
  if (context.ranks.is_root())
    log_info("{} {} pictures of {} classes in {}", was_complete ? "already drawn:" : "drew", pictures,
             config.toy.classes, path_text(root));
  return ExitCode::done;
}

}  // namespace

Job make_toy_job() {
  return {.name = "toy",
          .summary = "Draw the toy dataset: beetles whose background tells too much",
          .example = "deda toy --config configs/demo.toml",
          .add_options = {},
          .run = run};
}

}  // namespace deda::jobs
