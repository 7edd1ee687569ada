// `deda generate`: synthetic CDPs of every real one into a store; or a sheet for choosing a strength; or the
// calibration of the transparent networks.
#include "diffusion/generation/generate.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "core/log.h"
#include "data/dataset.h"
#include "diffusion/transparent/measure_calibration.h"
#include "io/pictures/image_codec.h"
#include "jobs/diffusion_run.h"
#include "jobs/doctor_models.h"
#include "jobs/generate_pictures.h"
#include "jobs/job.h"
#include "jobs/strength_sheet.h"
#include "pipeline/settings.h"

namespace deda::jobs {
namespace {

namespace fs = std::filesystem;
using diffusion::CdpSource;
using diffusion::copies_in_store;
using diffusion::Generator;
using diffusion::IdentifierChoice;

struct Options {
  std::vector<double> strengths;  // a sheet instead of a store
  std::int64_t rows = 6;
  bool calibrate = false;
};

constexpr std::size_t most_calibrated = 32;

bool learned(const PipelineConfig& config) {
  return config.generate.identifier == IdentifierChoice::learned;
}

// Everything that stands in the way, before a network is loaded.
void check(const PipelineConfig& config, const DiffusionRun& run, const Options& options,
           const std::vector<std::string>& class_names) {
  auto checked = config.diffusion;
  std::vector<Problem> wrong, missing;
  const auto add = [](std::vector<Problem>& to, const std::vector<Problem>& more) {
    for (const auto& problem : more) {
      const auto same = [&](const Problem& known) { return to_string(known) == to_string(problem); };
      if (std::none_of(to.begin(), to.end(), same)) to.push_back(problem);
    }
  };
  const auto strengths =
      options.strengths.empty() ? std::vector{config.diffusion.strength} : options.strengths;
  for (const double strength : strengths) {
    checked.strength = strength;
    add(wrong, diffusion::problems_of_generation(config.models, checked, config.generate, run.resolution));
  }
  if (!options.calibrate)
    add(wrong, diffusion::problems_of_prompts(config.models, config.diffusion, config.generate,
                                              config.invert.vectors, class_names));
  add(missing, examine_models(config.models).problems);
  if (!fs::exists(run.store / "manifest.json"))
    missing.push_back(
        {"there is no store of real CDPs", run.store.string(),
         "Run `deda decouple` with the same configuration first, or name a store in train.store."});
  if (learned(config) && !options.calibrate &&
      !fs::exists(diffusion::identifier_manifest_path(run.identifiers)))
    missing.push_back({"there are no identifiers", run.identifiers.string(),
                       "Run `deda invert` with the same configuration first, or set generate.identifier = "
                       "\"class_name\"."});
  if (!wrong.empty()) {
    add(wrong, missing);
    throw ConfigError(std::move(wrong));
  }
  if (!missing.empty()) throw DataError(std::move(missing));
}

std::vector<std::string> classes_without_cdp(const data::Dataset& dataset, const CdpSource& cdps) {
  std::vector<std::string> names;
  for (std::size_t id = 0; id < cdps.by_class().size(); ++id) {
    if (cdps.by_class()[id].empty()) names.push_back(dataset.class_names[id]);
  }
  return names;
}

diffusion::GeneratorSettings settings_of(const PipelineConfig& config, const DiffusionRun& run,
                                         double strength) {
  auto generate = config.generate;
  generate.copies = copies_in_store(generate);
  return {generate, strength, run.resolution, run.transparency,
          static_cast<std::uint64_t>(config.diffusion.seed)};
}

std::vector<diffusion::ClassPrompt> prompts_for(const PipelineConfig& config, const DiffusionRun& run,
                                                const data::Dataset& dataset,
                                                const diffusion::DiffusionModel& model) {
  if (!learned(config))
    return diffusion::prompts_of_names(model, config.diffusion.prompt, dataset.class_names);
  std::vector<std::int64_t> widths;
  for (const auto& text : model.text_encoders) widths.push_back(text->config().hidden_size);
  return diffusion::prompts_of_identifiers(
      model, config.diffusion.prompt, diffusion::Identifiers(run.identifiers, dataset.class_names, widths));
}

std::shared_ptr<const diffusion::DiffusionModel> load_model(const JobContext& context,
                                                            const DiffusionRun& run,
                                                            const DiffusionMachine& machine) {
  auto model = std::make_shared<const diffusion::DiffusionModel>(context.config.models, machine.place.device);
  if (context.ranks.is_root()) {
    for (const auto& line : machine.place.lines) log_info("{}", line);
    for (const auto& line : model->lines) log_info("{}", line);
    log_info("offset gain {}, {} latent for the transparent decoder ({})", run.transparency.offset_gain,
             run.transparency.scaled_latent ? "scaled" : "unscaled", run.transparency.reason);
  }
  return model;
}

bool is_complete(const comm::Communicator& ranks, const fs::path& folder) {
  bool complete = false;
  ranks.agree("looking at the store", [&] {
    if (ranks.is_root()) complete = io::store_is_complete(folder);
  });
  return ranks.any(complete);
}

void print_outcomes(const fs::path& folder, std::int64_t copies) {
  const io::StoreReader store(folder);
  const io::OutcomeCount outcomes = store.outcomes();
  fmt::print("{:<16} {:>9}\n", "outcome", "CDPs");
  std::int64_t sum = 0;
  for (const auto& [outcome, count] : outcomes.counts) {
    fmt::print("{:<16} {:>9}\n", io::name_of(outcome), count);
    sum += count;
  }
  fmt::print("{:<16} {:>9}{}\n", "all", outcomes.items,
             sum == outcomes.items ? "" : "  (counts do not add up: the store is damaged)");
  fmt::print("{} synthetic CDPs of {} wanted in {}\n", store.size(), outcomes.items * copies,
             folder.string());
  constexpr int most_listed = 10;
  int listed = 0;
  for (const auto& [item, remark] : store.remarks()) {
    if (listed++ == most_listed) {
      fmt::print("... {} more in {}/manifest.json\n", store.remarks().size() - most_listed, folder.string());
      break;
    }
    fmt::print("  {}: {}: {}\n", store.description().sources[static_cast<std::size_t>(item)],
               io::name_of(remark.first), remark.second);
  }
  const auto made_of = nlohmann::json::parse(store.description().configuration, nullptr, false);
  if (!made_of.is_object() || !made_of.contains("classes_without_cdp")) return;
  for (const auto& name : made_of["classes_without_cdp"])
    fmt::print("  class {}: no CDP, so no synthetic one\n", name.get<std::string>());
}

ExitCode run_store(JobContext& context, const DiffusionRun& run, const data::Dataset& dataset,
                   const CdpSource& cdps) {
  const auto& config = context.config;
  const auto machine = plan_diffusion_machine(context);
  if (context.ranks.is_root())
    log_info("{} synthetic CDPs for each of {} real ones on {} ranks into {}",
             copies_in_store(config.generate), cdps.size(), context.ranks.size(), run.synthetic.string());
  diffusion::GenerateRequest request{
      .dataset = dataset,
      .cdps = cdps,
      .config = config.generate,
      .strength = config.diffusion.strength,
      .made_of = provenance_of(run.plan, run.plan.at(pipeline::Stage::generate), machine.place.name),
      .classes_without_cdp = classes_without_cdp(dataset, cdps),
      .folder = run.synthetic,
      .workers = machine.workers,
      .load = {},
      .trace = context.options.trace,
      .trace_items = context.options.trace ? context.options.trace_steps : 0};
  request.load = [&] {
    const auto model = load_model(context, run, machine);
    auto generator =
        std::make_shared<const Generator>(model, settings_of(config, run, config.diffusion.strength),
                                          prompts_for(config, run, dataset, *model));
    if (context.ranks.is_root())
      log_info("{} evaluations per copy, from t = {:.0f} (sigma {:.4f})", generator->editor().evaluations(),
               generator->editor().first_timestep(), generator->editor().first_sigma());
    return generator;
  };
  // One unit is prepared and cleaned up on the CPU while another computes on the GPU.
  if (machine.place.plugin != nullptr) request.workers = 2;
  write_few_shot_list(context, dataset, run.synthetic);
  diffusion::generate(context.ranks, request);
  if (context.ranks.is_root()) print_outcomes(run.synthetic, copies_in_store(config.generate));
  io::check_outcomes(context.ranks, run.synthetic, diffusion::outcome_limits(config.generate));
  return ExitCode::done;
}

ExitCode run_sheet(JobContext& context, const DiffusionRun& run, const data::Dataset& dataset,
                   const CdpSource& cdps, const Options& options) {
  const auto& config = context.config;
  const auto machine = plan_diffusion_machine(context);
  context.ranks.agree("drawing the sheet of strengths", [&] {
    if (!context.ranks.is_root()) return;  // a sheet is one rank's work
    const auto chosen = cdps_of_many_classes(cdps, static_cast<std::size_t>(options.rows));
    if (chosen.empty()) throw DataError("has no CDP of a training picture", run.store.string());
    const auto model = load_model(context, run, machine);
    const auto prompts = prompts_for(config, run, dataset, *model);
    std::vector<std::shared_ptr<const Generator>> generators;
    for (const double strength : options.strengths) {
      auto settings = settings_of(config, run, strength);
      settings.generate.copies = 1;
      generators.push_back(std::make_shared<const Generator>(model, settings, prompts));
    }
    for (const auto cdp : chosen) {
      const auto id = static_cast<std::size_t>(cdps.class_of(cdp));
      if (const auto& missing = generators.front()->prompt_of(id).missing; !missing.empty())
        throw DataError(missing, run.identifiers.string(),
                        "Set generate.identifier = \"class_name\" for a sheet without it.");
    }
    const auto sheet = make_strength_sheet(cdps, chosen, generators, dataset.class_names, machine.workers);
    make_folder(config.run.output);
    const auto picture = config.run.output / "generate-strengths.png",
               table = config.run.output / "generate-strengths.csv";
    io::write_image(picture, sheet.picture);
    write_atomically(table, to_csv(sheet));
    fmt::print("{}sheet: {}\ntable: {}\n", to_text(sheet), picture.string(), table.string());
  });
  return ExitCode::done;
}

ExitCode run_calibration(JobContext& context, const DiffusionRun& run, const CdpSource& cdps) {
  const auto& config = context.config;
  const auto machine = plan_diffusion_machine(context);
  std::shared_ptr<const diffusion::DiffusionModel> model;
  std::vector<io::Image> pictures;
  context.ranks.agree("loading the diffusion model", [&] {
    model = load_model(context, run, machine);
    for (const auto cdp : cdps_of_many_classes(cdps, most_calibrated))
      pictures.push_back(cdps.framed(cdp).rgba);
  });
  const auto result =
      diffusion::measure_calibration(context.ranks, *model, pictures, config.generate.decoder_pixel,
                                     config.generate.decoder_votes, machine.workers);
  if (!context.ranks.is_root()) return ExitCode::done;
  diffusion::write_calibration(config.run.output, result, run.model_identity);
  const auto& chosen = result.rows[result.chosen];
  fmt::print(
      "{}wrote {}\nUse it with models.calibration = \"{}\"\n(or diffusion.offset_gain = \"{}\", "
      "generate.decoder_latent = \"{}\").\n",
      to_text(result), (config.run.output / "calibration.json").string(),
      (config.run.output / "calibration.json").string(), chosen.offset_gain,
      chosen.scaled_latent ? "scaled" : "unscaled");
  return ExitCode::done;
}

ExitCode run(JobContext& context, const Options& options) {
  auto& config = context.config;
  if (pipeline::uses_edits(pipeline::effective(config))) {
    if (options.calibrate || !options.strengths.empty())
      throw ConfigError("sheets of strengths and calibration are of CDPs", "command line",
                        "Leave --strength and --calibrate out, or set augment.method = \"deda\".");
    return generate_pictures(context);
  }
  if (options.calibrate) {  // measured here, so an older file must not be in the way
    if (config.diffusion.offset_gain == diffusion::OffsetGain::automatic)
      config.diffusion.offset_gain = diffusion::OffsetGain::g1;
    if (config.generate.decoder_latent == diffusion::DecoderLatent::automatic)
      config.generate.decoder_latent = diffusion::DecoderLatent::unscaled;
  }
  if (config.diffusion.strength == 0 && options.strengths.empty() && !options.calibrate)
    throw ConfigError("an edit of strength 0 makes no synthetic CDPs", "diffusion.strength",
                      "Training with strength 0 needs none: leave this stage out, or raise the strength.");
  const auto run = plan_diffusion_run(context, pipeline::Stage::generate);
  const auto dataset = load_dataset_to_learn_from(context);
  const bool to_store = options.strengths.empty() && !options.calibrate;
  if (to_store && is_complete(context.ranks, run.synthetic)) {
    if (context.ranks.is_root()) {
      log_info("already done: {}", run.synthetic.string());
      if (context.options.trace) log_warning("{}", nothing_traced(run.synthetic));
      print_outcomes(run.synthetic, copies_in_store(config.generate));
    }
    io::check_outcomes(context.ranks, run.synthetic, diffusion::outcome_limits(config.generate));
    return ExitCode::done;
  }
  context.ranks.agree("checking the configuration", [&] {
    if (context.ranks.is_root()) check(config, run, options, dataset.class_names);
  });
  std::unique_ptr<CdpSource> cdps;
  context.ranks.agree("opening the store of real CDPs", [&] {
    cdps = std::make_unique<CdpSource>(dataset, io::StoreReader(run.store), run.resolution,
                                       config.diffusion.margin_share);
  });
  if (context.options.dry_run) {
    if (context.ranks.is_root())
      fmt::print("would {} {} real CDPs of {} ({} classes) at {} pixels, {} evaluations each, into {}\n",
                 options.calibrate
                     ? "calibrate with up to 32 of"
                     : fmt::format("make {} copies of each of", copies_in_store(config.generate)),
                 cdps->size(), dataset.name, dataset.class_names.size(), run.resolution,
                 diffusion::evaluations(config.generate.steps, config.diffusion.strength),
                 (to_store ? run.synthetic : config.run.output).string());
    return ExitCode::done;
  }
  if (options.calibrate) return run_calibration(context, run, *cdps);
  if (!options.strengths.empty()) return run_sheet(context, run, dataset, *cdps, options);
  return run_store(context, run, dataset, *cdps);
}

}  // namespace

Job make_generate_job() {
  const auto options = std::make_shared<Options>();
  return {
      .name = "generate",
      .summary =
          "Make synthetic class-dependent parts of the real ones (SDEdit), or a generative peer's edits "
          "(--method)",
      .example = "mpirun -n 4 deda generate --config configs/demo.toml",
      .add_options =
          [options](CLI::App& app) {
            app.add_option("--strength", options->strengths,
                           "strengths such as 0.1,0.2,0.4,0.8: draw a sheet for choosing one, touch no store")
                ->delimiter(',');
            app.add_option("--rows", options->rows, "CDPs on that sheet, of different classes (default 6)")
                ->check(CLI::Range(1, 100));
            app.add_flag(
                "--calibrate", options->calibrate,
                "measure which offset gain and decoder latent suit these weights, write calibration.json");
          },
      .run = [options](JobContext& context) { return run(context, *options); }};
}

}  // namespace deda::jobs
