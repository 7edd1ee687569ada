#include "diffusion/sampling/sdedit.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <span>

#include "core/hash.h"
#include "core/random.h"
#include "device/upload.h"
#include "diffusion/sampling/noise.h"

namespace deda::diffusion {
namespace {

// On a CPU the UNet takes this many rows at once: more do not run faster each, and their activations leave
// the cache (tiny model at 64 pixels, a row: 2.8 ms alone, 1.9 ms in eights, 2.2 ms in twelves and above).
constexpr std::int64_t rows_at_once_on_cpu = 8;

// A stretch of the batch's rows with its texts as keys and values of every cross-attention: made once, used
// at all steps.
struct Pass {
  std::int64_t first = 0, rows = 0;
  models::TextKeys keys;
  models::UNet::Added added;
};

// The conditional rows stand in order; with guidance the unconditional text stands in front, once per row.
std::vector<Pass> passes_of(const DiffusionModel& model, const TextCondition* unconditional,
                            const std::vector<TextCondition>& texts, const std::vector<EditRow>& rows,
                            std::int64_t resolution) {
  std::vector<at::Tensor> states, pooled;
  const auto add = [&](const TextCondition& text) {
    states.push_back(text.states);
    if (text.pooled.defined()) pooled.push_back(text.pooled);
  };
  for (const auto& text : texts) add(text);
  std::vector<std::int64_t> order;
  if (unconditional != nullptr) {
    order.assign(rows.size(), static_cast<std::int64_t>(texts.size()));
    add(*unconditional);
  }
  for (const auto& row : rows) order.push_back(static_cast<std::int64_t>(row.text));
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
  return normal_tensor(shape,
                       RandomStream(seed, Purpose::generation_noise, static_cast<std::uint32_t>(draw), 0));
}

LatentEditor::LatentEditor(const DiffusionModel& model, EditSettings settings, TextCondition unconditional)
    : model_{model},
      captured_{std::make_shared<CapturedUNet>(model)},
      settings_{settings},
      unconditional_{std::move(unconditional)} {
  const auto scheduler =
      make_scheduler(settings_.scheduler, model.schedule, settings_.steps, settings_.strength);
  evaluations_ = scheduler->timesteps().size();
  first_timestep_ = scheduler->timesteps().front();
  first_sigma_ = scheduler->sigmas().front();
}

at::Tensor LatentEditor::edit(const at::Tensor& sources, const std::vector<TextCondition>& texts,
                              const std::vector<EditRow>& rows, const EditObserver& observer) const {
  const at::NoGradGuard no_gradients;
  // One per call: multistep samplers remember their last predictions.
  const auto scheduler =
      make_scheduler(settings_.scheduler, model_.schedule, settings_.steps, settings_.strength);
  const auto passes =
      passes_of(model_, guided() ? &unconditional_ : nullptr, texts, rows, settings_.resolution);
  std::vector<std::int64_t> source_of_row;
  for (const auto& row : rows) source_of_row.push_back(row.source);
  const auto clean = device::upload(sources.to(at::kFloat), model_.device)
                         .index_select(0, device::upload(at::tensor(source_of_row), model_.device));
  auto sample = scheduler->add_noise(clean, noise_of_rows(rows, 0, sources, model_.device));
  // On a CPU in several passes, elsewhere in one.
  std::optional<CapturedUNet::Evaluations> whole;
  if (passes.size() == 1) whole.emplace(*captured_, passes.front().keys, passes.front().added);
  for (std::size_t k = 0; k < scheduler->timesteps().size(); ++k) {
    const double timestep = scheduler->timesteps()[k];
    auto input = scheduler->model_input(sample, k).to(model_.unet_dtype);
    if (guided()) input = at::cat({input, input});
    const auto prediction =
        whole ? whole->predict(input, timestep) : predict(*model_.unet, input, timestep, passes);
    at::Tensor unconditional, conditional = prediction, guided_prediction = prediction, fresh;
    if (guided()) {
      const auto halves = prediction.chunk(2);
      unconditional = halves[0];
      conditional = halves[1];
      guided_prediction = unconditional + settings_.guidance * (conditional - unconditional);
    }
    if (scheduler->needs_noise())
      fresh = noise_of_rows(rows, static_cast<std::int64_t>(k) + 1, sources, model_.device);
    const auto after = scheduler->step(k, guided_prediction, sample, fresh);
    if (observer)
      observer({k, timestep, scheduler->sigmas()[k], sample, unconditional, conditional, guided_prediction,
                after, fresh});
    sample = after;
  }
  return sample.to(at::kFloat);
}

}  // namespace deda::diffusion
