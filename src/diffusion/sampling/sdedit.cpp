#include "diffusion/sampling/sdedit.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <span>

#include "core/error.h"
#include "core/hash.h"
#include "core/random.h"
#include "device/upload.h"
#include "diffusion/sampling/noise.h"

namespace deda::diffusion {
namespace {

// On a CPU the UNet takes this many rows at once: more do not run faster each, and their activations leave
// the cache (tiny model at 64 pixels, a row: 2.8 ms alone, 1.9 ms in eights, 2.2 ms in twelves and above).
constexpr std::int64_t rows_at_once_on_cpu = 8;

// One prediction that guidance is made of.
struct GuidancePass {
  bool text;     // under the row's text, or the unconditional one
  bool picture;  // text_and_picture: with the source's latents, or zeros
};

// In the order of diffusers' batches.
std::vector<GuidancePass> guidance_passes(Guidance led_by, bool guided) {
  if (!guided) return {{true, true}};
  if (led_by == Guidance::text) return {{false, true}, {true, true}};
  return {{true, true}, {false, true}, {false, false}};
}

// A stretch of the batch's rows with its texts as keys and values of every cross-attention: made once, used
// at all steps.
struct Pass {
  std::int64_t first = 0, rows = 0;
  models::TextKeys keys;
  models::UNet::Added added;
};

// The batch is all rows under the first pass of guidance, then all under the next.
std::vector<Pass> passes_of(const DiffusionModel& model, const std::vector<GuidancePass>& guidance,
                            const TextCondition& unconditional, const std::vector<TextCondition>& texts,
                            const std::vector<EditRow>& rows, std::int64_t resolution) {
  std::vector<at::Tensor> states, pooled;
  const auto add = [&](const TextCondition& text) {
    states.push_back(text.states);
    if (text.pooled.defined()) pooled.push_back(text.pooled);
  };
  for (const auto& text : texts) add(text);
  if (guidance.size() > 1) add(unconditional);
  std::vector<std::int64_t> order;
  for (const auto& pass : guidance) {
    for (const auto& row : rows)
      order.push_back(static_cast<std::int64_t>(pass.text ? row.text : texts.size()));
  }
  const auto keys = model.unet->keys_of(at::cat(states).to(model.device, model.unet_dtype));
  const auto total = static_cast<std::int64_t>(order.size()),
             at_once = model.device.is_cpu() ? rows_at_once_on_cpu : total;
  const auto index = device::upload(at::tensor(order), model.device);
  std::vector<Pass> passes;
  for (std::int64_t first = 0; first < total; first += at_once) {
    Pass pass{first, std::min(at_once, total - first), {}, {}};
    const auto part = index.slice(0, first, first + pass.rows);
    pass.keys = keys.for_rows(part);
    if (!pooled.empty())
      pass.added = model.added_conditions(at::cat(pooled).to(model.device).index_select(0, part), resolution);
    passes.push_back(std::move(pass));
  }
  return passes;
}

at::Tensor predict(const models::UNet& unet, const at::Tensor& input, double timestep,
                   const std::vector<Pass>& passes) {
  const auto times = at::full({input.size(0)}, timestep, input.options().dtype(at::kFloat));
  std::vector<at::Tensor> parts;
  for (const auto& pass : passes) {
    const auto rows = [&](const at::Tensor& x) { return x.slice(0, pass.first, pass.first + pass.rows); };
    parts.push_back(unet.forward(rows(input), rows(times), pass.keys, pass.added));
  }
  return at::cat(parts).to(at::kFloat);
}

at::Tensor noise_of_rows(const std::vector<EditRow>& rows, std::int64_t draw, const at::Tensor& sources,
                         at::Device device) {
  std::vector<at::Tensor> parts;
  for (const auto& row : rows)
    parts.push_back(edit_noise(row.seed, draw, {1, sources.size(1), sources.size(2), sources.size(3)}));
  return device::upload(at::cat(parts), device);
}

// The sources' latents beside every row of the batch.
at::Tensor picture_channels(const std::vector<GuidancePass>& guidance, const at::Tensor& latents,
                            at::ScalarType type) {
  std::vector<at::Tensor> parts;
  for (const auto& pass : guidance) parts.push_back(pass.picture ? latents : at::zeros_like(latents));
  return at::cat(parts).to(type);
}

// Which stream of a seed's normal numbers; part of results: append, never renumber.
enum class NoiseUse : std::uint64_t { edit = 0, posterior = 1 };

at::Tensor normal_noise(std::uint64_t seed, NoiseUse use, std::int64_t draw, at::IntArrayRef shape) {
  return normal_tensor(shape, RandomStream(seed, Purpose::generation_noise, static_cast<std::uint32_t>(draw),
                                           static_cast<std::uint64_t>(use)));
}

void check_edit(const DiffusionModel& model, const EditSettings& settings) {
  std::vector<Problem> problems;
  const auto latent = model.autoencoder->config().latent_channels, taken = model.unet->config().in_channels;
  const bool with_picture = settings.led_by == Guidance::text_and_picture;
  if (const auto needed = with_picture ? 2 * latent : latent; taken != needed)
    problems.push_back({fmt::format("the UNet takes {} channels, this edit gives it {}", taken, needed),
                        "models.base",
                        with_picture ? "Choose an InstructPix2Pix model, whose UNet sees the picture too."
                                     : "This is an InstructPix2Pix model: choose one that edits by noise."});
  if (with_picture && settings.strength != 1)
    problems.push_back(
        {fmt::format("is {}: an edit that sees the picture starts from pure noise", settings.strength),
         "strength", "Set it to 1."});
  // The original then leaves out all guidance, by the text too.
  if (with_picture && settings.guidance > 1 && !(settings.picture_guidance >= 1))
    problems.push_back({fmt::format("is {}", settings.picture_guidance), "picture_guidance",
                        "Choose 1 at least, or a guidance of 1 for none at all."});
  if (!problems.empty()) throw ConfigError(std::move(problems));
}

}  // namespace

SchedulerKind kind_of(Sampler sampler) {
  switch (sampler) {
    case Sampler::dpmpp2m_linspace:
      return SchedulerKind::dpmpp2m_linspace;
    case Sampler::dpmpp2m_leading:
      return SchedulerKind::dpmpp2m_leading;
    case Sampler::ddim_leading:
      return SchedulerKind::ddim_leading;
    case Sampler::euler_leading:
      return SchedulerKind::euler_leading;
    case Sampler::euler_ancestral_leading:
      return SchedulerKind::euler_ancestral_leading;
    case Sampler::euler_ancestral_linspace:
      return SchedulerKind::euler_ancestral_linspace;
    case Sampler::pndm_faithful:
      return SchedulerKind::pndm_faithful;
    case Sampler::karras25_cli:
      break;
  }
  return SchedulerKind::karras25_cli;
}

std::uint64_t seed_of_copy(std::uint64_t run_seed, const std::string& source, std::int64_t copy) {
  const auto text = fmt::format("{}\n{}\n{}", run_seed, copy, source);
  return xxhash64({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

at::Tensor edit_noise(std::uint64_t seed, std::int64_t draw, at::IntArrayRef shape) {
  return normal_noise(seed, NoiseUse::edit, draw, shape);
}

at::Tensor posterior_noise(std::uint64_t seed, at::IntArrayRef shape) {
  return normal_noise(seed, NoiseUse::posterior, 0, shape);
}

EditObserver recorder_into(RecordedSteps& record) {
  return [&record](const EditStep& step) {
    const auto kept = [](const at::Tensor& x) {
      return x.defined() ? x.detach().to(at::kCPU, at::kFloat).clone() : at::Tensor{};
    };
    record.sigmas.push_back(step.sigma);
    record.steps.push_back({step.timestep, kept(step.sample), kept(step.unconditional),
                            kept(step.conditional), kept(step.guided), kept(step.after),
                            kept(step.fresh_noise), kept(step.picture)});
  };
}

LatentEditor::LatentEditor(const DiffusionModel& model, EditSettings settings, TextCondition unconditional)
    : model_{model},
      captured_{std::make_shared<CapturedUNet>(model)},
      settings_{settings},
      unconditional_{std::move(unconditional)} {
  check_edit(model, settings_);
  const auto scheduler =
      make_scheduler(settings_.scheduler, model.schedule, settings_.steps, settings_.strength);
  evaluations_ = scheduler->timesteps().size();
  first_timestep_ = scheduler->timesteps().front();
  first_sigma_ = scheduler->sigmas().front();
  if (settings_.led_by == Guidance::text_and_picture)
    start_sigma_ = init_noise_sigma(settings_.scheduler, model.schedule, settings_.steps);
}

LatentEditor LatentEditor::at_strength(double strength) const {
  auto settings = settings_;
  settings.strength = strength;
  LatentEditor other(model_, settings, unconditional_);
  other.captured_ = captured_;
  return other;
}

at::Tensor LatentEditor::edit(const at::Tensor& sources, const std::vector<TextCondition>& texts,
                              const std::vector<EditRow>& rows, const EditObserver& observer) const {
  const at::NoGradGuard no_gradients;
  // One per call: multistep samplers remember their last predictions.
  const auto scheduler =
      make_scheduler(settings_.scheduler, model_.schedule, settings_.steps, settings_.strength);
  const auto guidance = guidance_passes(settings_.led_by, guided());
  const auto passes = passes_of(model_, guidance, unconditional_, texts, rows, settings_.resolution);
  std::vector<std::int64_t> source_of_row;
  for (const auto& row : rows) source_of_row.push_back(row.source);
  const auto clean = device::upload(sources.to(at::kFloat), model_.device)
                         .index_select(0, device::upload(at::tensor(source_of_row), model_.device));
  const auto noise = noise_of_rows(rows, 0, sources, model_.device);
  const bool with_picture = settings_.led_by == Guidance::text_and_picture;
  auto sample = with_picture ? noise * start_sigma_ : scheduler->add_noise(clean, noise);
  const auto channels = with_picture ? picture_channels(guidance, clean, model_.unet_dtype) : at::Tensor{};
  // On a CPU in several passes, elsewhere in one.
  std::optional<CapturedUNet::Evaluations> whole;
  if (passes.size() == 1) whole.emplace(*captured_, passes.front().keys, passes.front().added);
  for (std::size_t k = 0; k < scheduler->timesteps().size(); ++k) {
    const double timestep = scheduler->timesteps()[k];
    auto input = scheduler->model_input(sample, k).to(model_.unet_dtype);
    if (guidance.size() > 1) input = at::cat(std::vector<at::Tensor>(guidance.size(), input));
    if (channels.defined()) input = at::cat({input, channels}, 1);
    const auto prediction =
        whole ? whole->predict(input, timestep) : predict(*model_.unet, input, timestep, passes);
    at::Tensor unconditional, picture, conditional = prediction, guided_prediction = prediction, fresh;
    if (guided()) {
      const auto parts = prediction.chunk(static_cast<std::int64_t>(guidance.size()));
      if (with_picture) {
        conditional = parts[0];
        picture = parts[1];
        unconditional = parts[2];
        guided_prediction = unconditional + settings_.guidance * (conditional - picture) +
                            settings_.picture_guidance * (picture - unconditional);
      } else {
        unconditional = parts[0];
        conditional = parts[1];
        guided_prediction = unconditional + settings_.guidance * (conditional - unconditional);
      }
    }
    if (scheduler->needs_noise())
      fresh = noise_of_rows(rows, static_cast<std::int64_t>(k) + 1, sources, model_.device);
    const auto after = scheduler->step(k, guided_prediction, sample, fresh);
    if (observer)
      observer({k, timestep, scheduler->sigmas()[k], sample, unconditional, conditional, guided_prediction,
                after, fresh, picture});
    sample = after;
  }
  return sample.to(at::kFloat);
}

}  // namespace deda::diffusion
