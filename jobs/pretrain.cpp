// `deda pretrain`: the tiny model of the toy dataset, from scratch; or proof that a model folder comes from
// it.
#include "diffusion/pretraining/pretrain.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>

#include "core/log.h"
#include "data/toy.h"
#include "decoupling/cut.h"
#include "diffusion/transparent/framing.h"
#include "jobs/job.h"

namespace deda::jobs {
namespace {

struct Options {
  std::filesystem::path folder;
  bool verify = false, whole = false;
};

constexpr double margin_share = 0.1;  // diffusion.margin_share's default: what the model will be given

// The class-dependent parts of freshly drawn toy pictures, framed as `deda invert` and `deda generate` do.
diffusion::PretrainInput draw_input(const PipelineConfig& config, const diffusion::PretrainConfig& pretrain) {
  data::ToyConfig toy = config.toy;
  toy.seed = pretrain.toy_seed;
  toy.train_per_class = pretrain.per_class;
  diffusion::PretrainInput input;
  input.noun = "beetle";
  for (std::int64_t i = 0; i < toy.classes; ++i) input.class_names.emplace_back(data::toy_class_names[i]);
  for (std::int64_t i = 0; i < toy.classes * toy.train_per_class; ++i) {
    const auto picture = data::draw_toy_picture(toy, data::ToySet::train, i);
    const auto cdp = decoupling::cut_cdp(picture.image, picture.mask, config.decouple);
    input.cdps.push_back(diffusion::frame_cdp(cdp.rgba, cdp.crop, pretrain.resolution, margin_share).rgba);
    input.classes.push_back(static_cast<std::int32_t>(i % toy.classes));
  }
  return input;
}

// Training goes to the user's own results; --verify looks at the model that comes with the program.
std::filesystem::path folder_of(const JobContext& context, const Options& options) {
  if (!options.folder.empty()) return options.folder;
  return options.verify ? std::filesystem::path("configs/models/toy")
                        : context.config.run.output / "toy-model";
}

void print_stages(const std::vector<diffusion::StageRecord>& stages) {
  fmt::print("{:<14} {:>10} {:>8} {:>9} {:>10} {:>10}\n", "stage", "parameters", "steps", "seconds", "loss",
             "held out");
  for (const auto& stage : stages)
    fmt::print("{:<14} {:>10} {:>8} {:>9.0f} {:>10.4f} {:>10.4f}\n", stage.name, stage.parameters,
               stage.steps, stage.seconds, stage.losses.empty() ? 0.0 : stage.losses.back(), stage.held_out);
}

ExitCode run(JobContext& context, const Options& options) {
  ExitCode code = ExitCode::done;
  const auto folder = folder_of(context, options);
  context.ranks.agree("pretraining", [&] {
    if (!context.ranks.is_root()) return;  // a model this small is one process's work
    const auto config = options.verify ? diffusion::recorded_pretraining(folder) : context.config.pretrain;
    if (context.options.dry_run) {
      fmt::print("would {} {}\n", options.verify ? "verify" : "train", folder.string());
      return;
    }
    if (!options.verify) {
      if (const auto stages = diffusion::finished_pretraining(config, folder)) {
        log_info("already done: {}", folder.string());
        print_stages(*stages);
        return;
      }
    }
    const auto input = draw_input(context.config, config);
    log_info("{} toy CDPs of {} pixels", input.cdps.size(), config.resolution);
    if (!options.verify) {
      print_stages(diffusion::pretrain(input, config, folder));
      fmt::print("{}\n", folder.string());
      return;
    }
    std::optional<std::filesystem::path> again;
    if (options.whole) again = context.config.run.output / "toy-model-again";
    const auto problems = diffusion::verify_pretraining(input, folder, again);
    for (const auto& problem : problems) fmt::print("{}\n", problem);
    if (problems.empty())
      fmt::print("{}: the files are those of the record, and {} repeats its losses\n", folder.string(),
                 options.whole ? "training it all again" : "the beginning of every stage");
    code = problems.empty() ? ExitCode::done : ExitCode::data;
  });
  return code;
}

}  // namespace

Job make_pretrain_job() {
  const auto options = std::make_shared<Options>();
  return {.name = "pretrain",
          .summary = "Train the toy dataset's tiny diffusion model, or verify where it comes from",
          .example = "deda pretrain --verify",
          .add_options =
              [options](CLI::App& app) {
                app.add_option("--model", options->folder,
                               "folder of the model (default: toy-model in run.output; with --verify: "
                               "configs/models/toy)");
                app.add_flag("--verify", options->verify,
                             "train nothing: hold the files against their record and repeat the first steps "
                             "of every stage");
                app.add_flag("--whole", options->whole,
                             "with --verify: train everything again, into toy-model-again in run.output, and "
                             "compare the weights");
              },
          .run = [options](JobContext& context) { return run(context, *options); }};
}

}  // namespace deda::jobs
