// `deda invert`: the CDPs of a class -> its identifier, by truncated-timestep textual inversion.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "core/log.h"
#include "diffusion/inversion/latent_source.h"
#include "diffusion/inversion/learn_identifiers.h"
#include "jobs/diffusion_run.h"
#include "jobs/doctor_models.h"
#include "jobs/job.h"

namespace deda::jobs {
namespace {

constexpr int most_listed = 40;

std::string number(const std::optional<double>& value) {
  return value ? fmt::format("{:.4f}", *value) : std::string{"-"};
}

void print_classes(const diffusion::IdentifierManifest& manifest, const std::filesystem::path& folder) {
  std::size_t done = 0;
  int listed = 0;
  fmt::print("{:<28} {:<8} {:>6} {:>8} {:>8} {:>7} {:>9} {:>9} {:>9}  {}\n", "class", "outcome", "CDPs",
             "loss", "at end", "cosine", "held out:", "before", "after", "initial word, or reason");
  for (const auto& record : manifest.classes) {
    const bool is_done = record.outcome == diffusion::IdentifierOutcome::done;
    done += is_done ? 1 : 0;
    if (listed++ >= most_listed && is_done) continue;  // what went wrong is always told
    fmt::print("{:<28} {:<8} {:>6} {:>8} {:>8} {:>7} {:>9} {:>9} {:>9}  {}\n", record.class_name,
               diffusion::name_of(record.outcome), record.cdps, number(record.loss_first),
               number(record.loss_last),
               record.cosine.empty() ? "-" : fmt::format("{:.4f}", record.cosine.front()),
               number(record.held_out_word), number(record.held_out_before), number(record.held_out_after),
               is_done ? record.initial_word : record.reason);
  }
  if (listed > most_listed)
    fmt::print("... more in {}\n", diffusion::identifier_manifest_path(folder).string());
  fmt::print("{} of {} classes have an identifier in {}\n", done, manifest.classes.size(), folder.string());
  if (done == 0)
    throw DataError("no class has an identifier", folder.string(), "The reasons are in the table above.");
}

void print_plan(const DiffusionRun& run, const diffusion::InversionSettings& settings,
                const data::Dataset& dataset, const diffusion::LatentSource* source, bool finished) {
  const auto& invert = settings.invert;
  fmt::print("{} learn {} classes of {} into {}\n", finished ? "already done: would not" : "would",
             dataset.class_names.size(), dataset.name, run.identifiers.string());
  fmt::print(
      "  {} steps of {} latents of {} pixels per class, {} classes a batch; timesteps up to {}, offset gain "
      "{} "
      "({})\n",
      invert.steps, invert.batch, settings.resolution, invert.classes_per_batch,
      diffusion::most_timestep(settings.diffusion, invert), run.transparency.offset_gain,
      run.transparency.reason);
  if (source == nullptr) {
    fmt::print("  the store of real CDPs is not there yet: {}; run `deda decouple` first\n",
               run.store.string());
    return;
  }
  std::vector<std::size_t> counts;
  for (const auto& of_class : source->by_class()) counts.push_back(of_class.size());
  std::sort(counts.begin(), counts.end());
  fmt::print("  {} pictures; per class {} to {}, median {}; {} classes without\n", source->size(),
             counts.front(), counts.back(), counts[counts.size() / 2],
             std::count(counts.begin(), counts.end(), std::size_t{0}));
}

// Once per rank, whoever asks first.
class ModelOnDemand {
 public:
  ModelOnDemand(const PipelineConfig& config, const diffusion::InversionSettings& settings, at::Device device)
      : config_{config}, settings_{settings}, device_{device} {}

  std::shared_ptr<const diffusion::DiffusionModel> operator()() {
    if (model_) return model_;
    const auto weights = config_.invert.unet == diffusion::InvertUNet::merged ? diffusion::UNetWeights::merged
                                                                              : diffusion::UNetWeights::plain;
    const auto codec = config_.invert.latent == diffusion::InvertLatent::picture
                           ? diffusion::LatentCodec::plain
                           : diffusion::LatentCodec::transparent;
    auto model = std::make_shared<diffusion::DiffusionModel>(config_.models, device_, weights, codec);
    if (settings_.resolution % model->factor() != 0)
      throw ConfigError(fmt::format("{} is no multiple of {}, the pixels of one latent", settings_.resolution,
                                    model->factor()),
                        "diffusion.resolution", "0 takes the model's own.");
    for (const auto& line : model->lines) log_info("{}", line);
    model_ = std::move(model);
    return model_;
  }

 private:
  const PipelineConfig& config_;
  const diffusion::InversionSettings& settings_;
  at::Device device_;
  std::shared_ptr<const diffusion::DiffusionModel> model_;
};

void trace(const JobContext& context, const diffusion::LatentSource& source,
           const diffusion::InversionSettings& settings, ModelOnDemand& load_model) {
  context.ranks.agree("tracing", [&] {
    if (!context.ranks.is_root()) return;
    const auto model = load_model();
    const diffusion::InversionContext inversion(*model, source, settings);
    diffusion::trace_inversion(inversion, *context.options.trace, context.options.trace_steps);
    log_info("{} steps traced in {}", context.options.trace_steps, context.options.trace->string());
  });
}

// What identifiers are learnt from: the CDPs of a store, or a peer's whole pictures.
struct Source {
  std::unique_ptr<diffusion::CdpSource> cdps;
  std::unique_ptr<diffusion::PictureSource> pictures;
  std::unique_ptr<diffusion::LatentSource> latents;  // empty: the store is not there yet
};

Source open_source(const PipelineConfig& config, const DiffusionRun& run, const data::Dataset& dataset,
                   bool required) {
  Source source;
  if (config.invert.latent == diffusion::InvertLatent::picture) {
    source.pictures = std::make_unique<diffusion::TrainingPictures>(dataset);
    source.latents = std::make_unique<diffusion::PictureLatentSource>(
        *source.pictures, dataset.class_names.size(), run.resolution);
  } else if (required || std::filesystem::exists(run.store)) {
    source.cdps = std::make_unique<diffusion::CdpSource>(dataset, io::StoreReader(run.store), run.resolution,
                                                         config.diffusion.margin_share);
    const bool with_offset = config.invert.latent == diffusion::InvertLatent::transparent;
    source.latents = std::make_unique<diffusion::CdpLatents>(
        *source.cdps, with_offset ? run.transparency.offset_gain : 0.0);
  }
  return source;
}

ExitCode invert(JobContext& context) {
  const auto config = pipeline::effective(context.config);
  const auto run = plan_diffusion_run(context, pipeline::Stage::invert);
  const auto& node = run.plan.at(pipeline::Stage::invert);
  const auto dataset = load_dataset_to_learn_from(context);
  Source source;
  bool finished = false;
  context.ranks.agree("reading the store", [&] {
    diffusion::check_initial_words(config.diffusion, dataset.class_names);
    if (context.ranks.is_root())
      finished = diffusion::finished_identifiers(run.identifiers, node.key).has_value();
    source = open_source(config, run, dataset, !context.options.dry_run);
  });
  finished = context.ranks.any(finished);
  if (!finished) {
    context.ranks.agree("checking the model", [&] {
      if (!context.ranks.is_root()) return;
      if (source.pictures) return;  // the plan has looked at the parts that it takes
      const auto finding = examine_models(config.models, config.diffusion.resolution);
      if (!finding.problems.empty()) throw ConfigError(finding.problems);
    });
  }
  const diffusion::InversionSettings settings{.invert = config.invert,
                                              .diffusion = config.diffusion,
                                              .class_names = dataset.class_names,
                                              .resolution = run.resolution,
                                              .offset_gain = run.transparency.offset_gain,
                                              .seed = static_cast<std::uint64_t>(config.diffusion.seed)};
  if (context.options.dry_run) {
    if (context.ranks.is_root()) print_plan(run, settings, dataset, source.latents.get(), finished);
    return ExitCode::done;
  }
  write_few_shot_list(context, dataset, run.identifiers);
  DiffusionMachine machine;
  if (!finished || context.options.trace) machine = plan_diffusion_machine(context);
  ModelOnDemand load_model(config, settings, machine.place.device);
  if (context.options.trace) trace(context, *source.latents, settings, load_model);
  if (context.ranks.is_root() && !finished) {
    for (const auto& line : machine.place.lines) log_info("{}", line);
    log_info("learning {} classes from {} {} on {} ranks into {}", dataset.class_names.size(),
             source.latents->size(), source.pictures ? "pictures" : "CDPs", context.ranks.size(),
             run.identifiers.string());
  }
  if (!finished)
    diffusion::learn_identifiers(context.ranks, {.source = *source.latents,
                                                 .settings = settings,
                                                 .folder = run.identifiers,
                                                 .made_of = provenance_of(run.plan, node, machine.place.name),
                                                 .model_identity = run.model_identity,
                                                 .workers = machine.workers,
                                                 .load_model = [&] { return load_model(); },
                                                 .on_step = {}});
  context.ranks.agree("reading the identifiers", [&] {
    if (!context.ranks.is_root()) return;
    if (finished) log_info("already done: {}", run.identifiers.string());
    const auto manifest = diffusion::finished_identifiers(run.identifiers, node.key);
    if (!manifest) throw IoError("the identifiers cannot be read again", run.identifiers.string());
    print_classes(*manifest, run.identifiers);
  });
  return ExitCode::done;
}

}  // namespace

Job make_invert_job() {
  return {.name = "invert",
          .summary = "Learn one identifier per class from its class-dependent parts",
          .example = "mpirun -n 4 deda invert --config configs/demo.toml",
          .add_options = {},
          .run = invert};
}

}  // namespace deda::jobs
