#include "jobs/generate_pictures.h"

#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/log.h"
#include "diffusion/inversion/identifiers.h"
#include "diffusion/peers/clip_filter.h"
#include "diffusion/prompts.h"
#include "diffusion/tuning/tuning_record.h"
#include "diffusion/whole/generate_pictures.h"
#include "io/store/record_store.h"
#include "jobs/diffusion_run.h"
#include "jobs/planning.h"
#include "pipeline/settings.h"

namespace deda::jobs {
namespace {

using generative::Editing;
using generative::Filter;
using generative::Words;

// What is known before anything is loaded.
struct PeerRun {
  pipeline::Plan plan;
  PipelineConfig config;  // effective
  const generative::GenerationSettings& peer() const { return pipeline::peer_of(config); }
  const pipeline::Node& node() const { return plan.at(pipeline::Stage::generate); }
  std::int64_t resolution = 0;
  std::filesystem::path words;  // folder of `deda invert` or `deda tune`; empty: none
  std::filesystem::path lora;   // of `deda tune`
};

std::int64_t resolution_in(const pipeline::Node& node, std::string_view method) {
  const auto key = fmt::format("generate.{}.resolution", method);
  for (const auto& setting : node.settings) {
    if (setting.key == key) return nlohmann::json::parse(setting.json).get<std::int64_t>();
  }
  throw std::logic_error("the plan has no " + key);
}

PeerRun plan_peer_run(const JobContext& context) {
  PeerRun run;
  run.config = pipeline::effective(context.config);
  run.plan = make_plan(context, pipeline::Stage::generate);
  run.resolution = resolution_in(run.node(), run.peer().facts().name);
  for (const auto stage : {pipeline::Stage::invert, pipeline::Stage::tune}) {
    const auto* words = run.plan.find(stage);
    if (words == nullptr) continue;
    run.words = words->folder;
    if (stage == pipeline::Stage::tune) run.lora = words->folder / diffusion::tuned_lora_name;
  }
  return run;
}

diffusion::ModelsConfig models_of(const PeerRun& run) {
  auto models = run.config.models;
  if (run.peer().facts().editing == Editing::instructed) {
    models.base = models.instruct;
    models.lora.clear();
  }
  if (!run.lora.empty()) models.lora.push_back(run.lora.string());
  return models;
}

diffusion::Sampler sampler_of(generative::PeerSampler sampler) {
  switch (sampler) {
    case generative::PeerSampler::dpmpp2m_linspace:
      return diffusion::Sampler::dpmpp2m_linspace;
    case generative::PeerSampler::pndm_faithful:
      return diffusion::Sampler::pndm_faithful;
    case generative::PeerSampler::euler_ancestral_linspace:
      break;
  }
  return diffusion::Sampler::euler_ancestral_linspace;
}

diffusion::PictureSettings picture_settings(const PeerRun& run) {
  const auto& peer = run.peer();
  const bool instructed = peer.facts().editing == Editing::instructed;
  diffusion::PictureSettings settings;
  settings.edit = {.scheduler = diffusion::kind_of(sampler_of(peer.sampler)),
                   .steps = peer.steps,
                   .strength = 1.0,
                   .guidance = peer.guidance,
                   .resolution = run.resolution,
                   .led_by = instructed ? diffusion::Guidance::text_and_picture : diffusion::Guidance::text,
                   .picture_guidance = peer.image_guidance};
  settings.strengths = instructed ? std::vector{1.0} : peer.strengths;
  settings.into_square = instructed ? io::Filter::bicubic : io::Filter::bilinear;
  settings.batch = run.config.generate.batch_cdps;
  settings.autoencoder_batch = run.config.generate.autoencoder_batch;
  return settings;
}

std::vector<diffusion::ClassPrompt> prompts_of(const PeerRun& run, const data::Dataset& dataset,
                                               const diffusion::DiffusionModel& model) {
  const auto& peer = run.peer();
  if (peer.facts().words == Words::instruction)
    return diffusion::prompts_of_names(model, "{token}", peer.prompts);
  const auto prompt = diffusion::peer_prompt(peer, pipeline::noun_of(run.config, dataset.subjects));
  if (run.words.empty()) return diffusion::prompts_of_names(model, prompt, dataset.class_names);
  std::vector<std::int64_t> widths;
  for (const auto& text : model.text_encoders) widths.push_back(text->config().hidden_size);
  return diffusion::prompts_of_identifiers(model, prompt,
                                           diffusion::Identifiers(run.words, dataset.class_names, widths));
}

std::optional<diffusion::ClipJudge> judge_of(const PeerRun& run, const data::Dataset& dataset,
                                             at::Device device) {
  if (run.peer().filter == Filter::none) return std::nullopt;
  diffusion::ClipJudge judge;
  judge.scorer = std::make_shared<const models::ClipScorer>(run.config.models.clip, device);
  if (run.peer().filter == Filter::above_chance) {
    judge.texts = judge.scorer->text_embeds(diffusion::class_prompts(dataset.class_names));
  } else {
    const auto [with, without] = diffusion::with_and_without(pipeline::noun_of(run.config, dataset.subjects));
    judge.texts = judge.scorer->text_embeds({with, without});
  }
  return judge;
}

std::shared_ptr<const diffusion::PeerNetworks> load(const JobContext& context, const PeerRun& run,
                                                    const data::Dataset& dataset,
                                                    const DiffusionMachine& machine) {
  const at::NoGradGuard no_gradients;
  const auto model = std::make_shared<const diffusion::DiffusionModel>(
      models_of(run), machine.place.device, diffusion::UNetWeights::plain, diffusion::LatentCodec::plain);
  auto networks = std::make_shared<diffusion::PeerNetworks>();
  networks->prompts = prompts_of(run, dataset, *model);
  std::vector<diffusion::TextCondition> texts;
  for (const auto& prompt : networks->prompts) {
    networks->text_of_prompt.push_back(texts.size());
    if (prompt.missing.empty()) texts.push_back(prompt.text);
  }
  networks->generator = std::make_shared<const diffusion::PictureGenerator>(model, picture_settings(run),
                                                                            texts, model->unconditional(""));
  networks->judge = judge_of(run, dataset, machine.place.device);
  const auto& peer = run.peer();
  if (peer.facts().blends && !peer.fractals.empty())
    networks->fractals = std::make_shared<const diffusion::FractalFolder>(
        peer.fractals, static_cast<int>(run.resolution), machine.workers);
  if (context.ranks.is_root()) {
    for (const auto& line : machine.place.lines) log_info("{}", line);
    for (const auto& line : model->lines) log_info("{}", line);
    if (networks->judge) log_info("{}", networks->judge->scorer->description());
    if (networks->fractals && !networks->fractals->note().empty())
      log_warning("{}", networks->fractals->note());
  }
  return networks;
}

io::OutcomeLimits limits_of(const PipelineConfig& config) {
  return {.section = "generate",
          .max_failed_share = config.generate.max_failed_share,
          .failed_items = "pictures failed",
          .allow_empty = config.generate.allow_empty,
          .wanted_records = "usable edit"};
}

void print_outcomes(const PeerRun& run, const generative::EditPlan& plan) {
  const io::StoreReader store(run.node().folder);
  const auto outcomes = store.outcomes();
  fmt::print("{:<16} {:>9}\n", "outcome", "pictures");
  for (const auto& [outcome, count] : outcomes.counts)
    fmt::print("{:<16} {:>9}\n", io::name_of(outcome), count);
  fmt::print("{:<16} {:>9}\n", "all", outcomes.items);
  fmt::print("{}: {} edits of {} wanted in {}\n", run.peer().facts().title, store.size(),
             plan.items() * plan.edits_of_item(), run.node().folder.string());
  constexpr int most_listed = 10;
  int listed = 0;
  for (const auto& [item, remark] : store.remarks()) {
    if (listed++ == most_listed) {
      fmt::print("... {} more in manifest.json there\n", store.remarks().size() - most_listed);
      break;
    }
    fmt::print("  {}: {}: {}\n", store.description().sources[static_cast<std::size_t>(item)],
               io::name_of(remark.first), remark.second);
  }
}

}  // namespace

ExitCode generate_pictures(JobContext& context) {
  const auto run = plan_peer_run(context);
  const auto& config = run.config;
  const auto dataset = load_dataset_to_learn_from(context);
  const auto training = dataset.indices(data::Split::train);
  std::vector<generative::SourcePicture> pictures;
  for (const auto i : training) pictures.push_back({dataset.items[i].path, dataset.items[i].class_id});
  const auto seed = static_cast<std::uint64_t>(config.diffusion.seed);
  const generative::EditPlan plan(run.peer(), std::move(pictures), seed);
  const auto& folder = run.node().folder;
  bool complete = false;
  context.ranks.agree("looking at the store", [&] {
    if (context.ranks.is_root()) complete = io::store_is_complete(folder);
  });
  if (context.options.dry_run) {
    if (context.ranks.is_root())
      fmt::print("would make {} edits of {} pictures of {} with {} at {} pixels into {}{}\n",
                 plan.items() * plan.edits_of_item(), training.size(), dataset.name, run.peer().facts().title,
                 run.resolution, folder.string(), complete ? ", which is done" : "");
    return ExitCode::done;
  }
  if (context.ranks.any(complete)) {
    if (context.ranks.is_root()) {
      log_info("already done: {}", folder.string());
      if (context.options.trace) log_warning("{}", nothing_traced(folder));
      print_outcomes(run, plan);
    }
    io::check_outcomes(context.ranks, folder, limits_of(config));
    return ExitCode::done;
  }
  context.ranks.agree("looking at the learnt words", [&] {
    if (context.ranks.is_root() && !run.words.empty() &&
        !std::filesystem::exists(diffusion::identifier_manifest_path(run.words)))
      throw DataError("there are no learnt words", run.words.string(),
                      fmt::format("Run `deda {}` with the same configuration first.",
                                  run.lora.empty() ? "invert" : "tune"));
  });
  auto machine = plan_diffusion_machine(context);
  if (context.ranks.is_root())
    log_info("{}: {} edits of {} pictures on {} ranks into {}", run.peer().facts().title,
             plan.items() * plan.edits_of_item(), training.size(), context.ranks.size(), folder.string());
  write_few_shot_list(context, dataset, folder);
  diffusion::generate_pictures(
      context.ranks, {.dataset = dataset,
                      .plan = plan,
                      .pictures = training,
                      .made_of = provenance_of(run.plan, run.node(), machine.place.name),
                      .folder = folder,
                      .seed = seed,
                      .batch = std::max<std::int64_t>(1, config.generate.batch_cdps),
                      .items_per_segment = config.generate.items_per_segment,
                      // One unit is prepared and cleaned up on the CPU while another computes on the GPU.
                      .workers = machine.place.plugin != nullptr ? 2 : machine.workers,
                      .load = [&] { return load(context, run, dataset, machine); },
                      .trace = context.options.trace,
                      .trace_items = context.options.trace ? context.options.trace_steps : 0});
  if (context.ranks.is_root()) print_outcomes(run, plan);
  io::check_outcomes(context.ranks, folder, limits_of(config));
  return ExitCode::done;
}

}  // namespace deda::jobs
