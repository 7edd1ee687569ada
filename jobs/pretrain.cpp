// `deda pretrain`: the tiny models of the toy dataset, from scratch: the diffusion model, or a CLIP; or proof
// that a model folder comes from it.
#include "diffusion/pretraining/pretrain.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>

#include "core/log.h"
#include "data/toy.h"
#include "decoupling/cut.h"
#include "diffusion/pretraining/pretrain_clip.h"
#include "diffusion/transparent/framing.h"
#include "jobs/job.h"

namespace deda::jobs {
namespace {

struct Options {
  std::filesystem::path folder;
  bool clip = false, verify = false, whole = false;
};

constexpr auto toy_noun = "beetle";
constexpr double margin_share = 0.1;  // diffusion.margin_share's default: what the model will be given

// The class-dependent parts of freshly drawn toy pictures, framed as `deda invert` and `deda generate` do.
diffusion::PretrainInput draw_input(const PipelineConfig& config, const diffusion::PretrainConfig& pretrain) {
  data::ToyConfig toy = config.toy;
  toy.seed = pretrain.toy_seed;
  toy.train_per_class = pretrain.per_class;
  diffusion::PretrainInput input;
  input.noun = toy_noun;
  for (std::int64_t i = 0; i < toy.classes; ++i) input.class_names.emplace_back(data::toy_class_names[i]);
  for (std::int64_t i = 0; i < toy.classes * toy.train_per_class; ++i) {
    const auto picture = data::draw_toy_picture(toy, data::ToySet::train, i);
    const auto cdp = decoupling::cut_cdp(picture.image, picture.mask, config.decouple);
    input.cdps.push_back(diffusion::frame_cdp(cdp.rgba, cdp.crop, pretrain.resolution, margin_share).rgba);
    input.classes.push_back(static_cast<std::int32_t>(i % toy.classes));
  }
  return input;
}

// Whole toy pictures on grounds that say nothing about the kind, so that the beetle is learnt, and half as
// many with the beetle taken out.
diffusion::ClipPretrainInput draw_clip_input(const PipelineConfig& config,
                                             const diffusion::ClipPretrainConfig& pretrain) {
  data::ToyConfig toy = config.toy;
  toy.seed = pretrain.toy_seed;
  toy.train_per_class = pretrain.per_class;
  toy.background_correlation = 1.0 / static_cast<double>(toy.classes);
  diffusion::ClipPretrainInput input;
  input.noun = toy_noun;
  for (std::int64_t i = 0; i < toy.classes; ++i) input.class_names.emplace_back(data::toy_class_names[i]);
  std::vector<io::Image> empty;
  for (std::int64_t i = 0; i < toy.classes * toy.train_per_class; ++i) {
    auto picture = data::draw_toy_picture(toy, data::ToySet::train, i);
    if (i % 2 == 0) {
      auto cip = decoupling::fill_cip(picture.image, picture.mask, config.decouple);
      if (!cip.rgb.empty()) empty.push_back(std::move(cip.rgb));
    }
    input.pictures.push_back(std::move(picture.image));
    input.classes.push_back(static_cast<std::int32_t>(i % toy.classes));
  }
  input.classes.resize(input.classes.size() + empty.size(), diffusion::no_object);
  for (auto& picture : empty) input.pictures.push_back(std::move(picture));
  return input;
}

// Training goes to the user's own results; --verify looks at the model that comes with the program.
std::filesystem::path folder_of(const JobContext& context, const Options& options) {
  if (!options.folder.empty()) return options.folder;
  if (options.verify) return options.clip ? "configs/models/toy-clip" : "configs/models/toy";
  return context.config.run.output / (options.clip ? "toy-clip" : "toy-model");
}

void print_stages(const std::vector<diffusion::StageRecord>& stages) {
  fmt::print("{:<14} {:>10} {:>8} {:>9} {:>10} {:>10}\n", "stage", "parameters", "steps", "seconds", "loss",
             "held out");
  for (const auto& stage : stages)
    fmt::print("{:<14} {:>10} {:>8} {:>9.0f} {:>10.4f} {:>10.4f}\n", stage.name, stage.parameters,
               stage.steps, stage.seconds, stage.losses.empty() ? 0.0 : stage.losses.back(), stage.held_out);
}

// The diffusion model and the CLIP are made in the same way of different things.
struct DiffusionModel {
  using Config = diffusion::PretrainConfig;
  static Config config_of(const JobContext& context) { return context.config.pretrain; }
  static constexpr auto recorded = diffusion::recorded_pretraining;
  static constexpr auto finished = diffusion::finished_pretraining;
  static constexpr auto draw = draw_input;
  static constexpr auto train = diffusion::pretrain;
  static constexpr auto verify = diffusion::verify_pretraining;
};
struct ClipModel {
  using Config = diffusion::ClipPretrainConfig;
  static Config config_of(const JobContext&) { return {}; }
  static constexpr auto recorded = diffusion::recorded_clip_pretraining;
  static constexpr auto finished = diffusion::finished_clip_pretraining;
  static constexpr auto draw = draw_clip_input;
  static constexpr auto train = diffusion::pretrain_clip;
  static constexpr auto verify = diffusion::verify_clip_pretraining;
};

template <class Model>
ExitCode make_or_verify(const JobContext& context, const Options& options) {
  const auto folder = folder_of(context, options);
  const auto config = options.verify ? Model::recorded(folder) : Model::config_of(context);
  if (context.options.dry_run) {
    fmt::print("would {} {}\n", options.verify ? "verify" : "train", folder.string());
    return ExitCode::done;
  }
  if (!options.verify) {
    if (const auto stages = Model::finished(config, folder)) {
      log_info("already done: {}", folder.string());
      print_stages(*stages);
      return ExitCode::done;
    }
  }
  const auto input = Model::draw(context.config, config);
  log_info("{} toy pictures of {} pixels", input.classes.size(), config.resolution);
  if (!options.verify) {
    print_stages(Model::train(input, config, folder));
    fmt::print("{}\n", folder.string());
    return ExitCode::done;
  }
  std::optional<std::filesystem::path> again;
  if (options.whole)
    again = context.config.run.output / (options.clip ? "toy-clip-again" : "toy-model-again");
  const auto problems = Model::verify(input, folder, again);
  for (const auto& problem : problems) fmt::print("{}\n", problem);
  if (problems.empty())
    fmt::print("{}: the files are those of the record, and {} repeats its losses\n", folder.string(),
               options.whole ? "training it all again" : "the beginning of every stage");
  return problems.empty() ? ExitCode::done : ExitCode::data;
}

ExitCode run(JobContext& context, const Options& options) {
  ExitCode code = ExitCode::done;
  context.ranks.agree("pretraining", [&] {
    if (!context.ranks.is_root()) return;  // a model this small is one process's work
    code = options.clip ? make_or_verify<ClipModel>(context, options)
                        : make_or_verify<DiffusionModel>(context, options);
  });
  return code;
}

}  // namespace

Job make_pretrain_job() {
  const auto options = std::make_shared<Options>();
  return {.name = "pretrain",
          .summary = "Train the toy dataset's tiny diffusion model or CLIP, or verify where it comes from",
          .example = "deda pretrain --verify",
          .add_options =
              [options](CLI::App& app) {
                app.add_option("--model", options->folder,
                               "folder of the model (default: toy-model or toy-clip in run.output; with "
                               "--verify: configs/models/toy or toy-clip)");
                app.add_flag("--clip", options->clip,
                             "the tiny CLIP that filters edited pictures, instead of the diffusion model");
                app.add_flag("--verify", options->verify,
                             "train nothing: hold the files against their record and repeat the first steps "
                             "of every stage");
                app.add_flag(
                    "--whole", options->whole,
                    "with --verify: train everything again, into toy-model-again or toy-clip-again in "
                    "run.output, and compare the weights");
              },
          .run = [options](JobContext& context) { return run(context, *options); }};
}

}  // namespace deda::jobs
