// `deda tune`: a dataset's pictures -> a LoRA of the diffusion model and one word per class (Diff-Mix).
#include "diffusion/tuning/tune.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "core/log.h"
#include "jobs/diffusion_run.h"
#include "jobs/job.h"
#include "pipeline/settings.h"

namespace deda::jobs {
namespace {

void print_plan(const std::filesystem::path& folder, const diffusion::TuneSettings& settings,
                const diffusion::PictureSource& pictures, bool finished) {
  const auto& tune = settings.tune;
  fmt::print("{} tune on {} pictures of {} classes into {}\n", finished ? "already done: would not" : "would",
             pictures.size(), settings.class_names.size(), folder.string());
  fmt::print(
      "  {} steps of {} pictures of {} pixels, rank {}; captions \"{}\"; every word starts as \"{}\"\n",
      tune.steps, tune.batch, tune.resolution, tune.rank,
      diffusion::tuning_caption("<class-0000>", settings.super_class), tune.init_word);
  auto counts = diffusion::pictures_per_class(pictures, settings.class_names.size());
  std::sort(counts.begin(), counts.end());
  fmt::print("  per class {} to {} pictures, median {}; {} classes without; {:.1f} passes over all\n",
             counts.front(), counts.back(), counts[counts.size() / 2],
             std::count(counts.begin(), counts.end(), std::int64_t{0}),
             static_cast<double>(tune.steps * tune.batch) /
                 static_cast<double>(std::max<std::size_t>(1, pictures.size())));
}

void print_record(const diffusion::TuningRecord& record, const std::filesystem::path& folder) {
  const auto number = [](const std::optional<double>& value) {
    return value ? fmt::format("{:.4f}", *value) : std::string{"-"};
  };
  if (record.outcome == diffusion::TuningOutcome::failed)
    throw DataError("the tuning failed: " + record.reason, folder.string(),
                    "Set a smaller tune.learning_rate, or models.precision = \"fp32\".");
  const auto words = std::count_if(record.classes.begin(), record.classes.end(),
                                   [](const auto& each) { return each.outcome == "done"; });
  fmt::print("{} steps on {} pictures, loss {} at first and {} at the end{}\n", record.steps, record.pictures,
             number(record.loss_first), number(record.loss_last),
             record.tries > 1 ? fmt::format("; try {}: {}", record.tries, record.reason) : "");
  fmt::print("{} and words of {} of {} classes in {}\n", diffusion::tuned_lora_name, words,
             record.classes.size(), folder.string());
}

ExitCode tune(JobContext& context) {
  const auto config = pipeline::effective(context.config);
  const auto run = plan_diffusion_run(context, pipeline::Stage::tune);
  const auto& node = run.plan.at(pipeline::Stage::tune);
  const auto dataset = load_dataset_to_learn_from(context);
  const diffusion::TrainingPictures pictures(dataset);
  const diffusion::TuneSettings settings{.tune = config.tune,
                                         .class_names = dataset.class_names,
                                         .super_class = pipeline::super_class_of(config, dataset.subjects),
                                         .seed = static_cast<std::uint64_t>(config.diffusion.seed)};
  bool finished = false;
  context.ranks.agree("looking at the tuning", [&] {
    if (context.ranks.is_root()) finished = diffusion::finished_tuning(node.folder, node.key).has_value();
  });
  finished = context.ranks.any(finished);
  if (context.options.dry_run) {
    if (context.ranks.is_root()) print_plan(node.folder, settings, pictures, finished);
    return ExitCode::done;
  }
  write_few_shot_list(context, dataset, node.folder);
  DiffusionMachine machine;
  if (!finished || context.options.trace) machine = plan_diffusion_machine(context);
  std::shared_ptr<const diffusion::DiffusionModel> model;  // once per rank, whoever asks first
  const auto load_model = [&] {
    if (!model) {
      model = std::make_shared<diffusion::DiffusionModel>(
          config.models, machine.place.device, diffusion::UNetWeights::plain, diffusion::LatentCodec::plain);
      for (const auto& line : model->lines) log_info("{}", line);
    }
    return model;
  };
  if (context.options.trace) {
    context.ranks.agree("tracing", [&] {
      if (!context.ranks.is_root()) return;
      diffusion::trace_tuning(*load_model(), pictures, settings, *context.options.trace,
                              context.options.trace_steps);
      log_info("{} steps traced in {}", context.options.trace_steps, context.options.trace->string());
    });
  }
  if (!finished) {
    if (context.ranks.is_root()) {
      for (const auto& line : machine.place.lines) log_info("{}", line);
      log_info("tuning on {} pictures of {} classes on {} ranks into {}", pictures.size(),
               dataset.class_names.size(), context.ranks.size(), node.folder.string());
    }
    diffusion::tune(context.ranks, {.pictures = pictures,
                                    .settings = settings,
                                    .folder = node.folder,
                                    .made_of = provenance_of(run.plan, node, machine.place.name),
                                    .model_identity = run.model_identity,
                                    .workers = machine.workers,
                                    .load_model = load_model});
  }
  context.ranks.agree("reading what was tuned", [&] {
    if (!context.ranks.is_root()) return;
    if (finished) log_info("already done: {}", node.folder.string());
    const auto record = diffusion::finished_tuning(node.folder, node.key);
    if (!record) throw IoError("the tuning cannot be read again", node.folder.string());
    print_record(*record, node.folder);
  });
  return ExitCode::done;
}

}  // namespace

Job make_tune_job() {
  return {
      .name = "tune",
      .summary = "Learn a LoRA of the diffusion model and one word per class from whole pictures (Diff-Mix)",
      .example = "mpirun -n 4 deda tune --config configs/demo.toml --set augment.method=diff-mix",
      .add_options = {},
      .run = tune};
}

}  // namespace deda::jobs
