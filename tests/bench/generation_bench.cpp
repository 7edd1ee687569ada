// How fast synthetic CDPs are made, against the loop as the public programs write it: one CDP and one copy at
// a time, both texts encoded for each, the source encoded for each copy, two UNet calls per step. Same
// networks, same noise, one core; outputs are compared first. Ratio of one run, the two taking turns.
// bench_generation [model folder]
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

#include "bench/measure.h"
#include "core/allocator.h"
#include "diffusion/generation/generator.h"
#include "diffusion/prompts.h"
#include "support/hashed_numbers.h"
#include "support/temporary_folder.h"
#include "support/tiny_diffusion_model.h"

namespace {

using namespace deda;
using namespace deda::bench;

constexpr int cdps = 4, pairs = 7;
constexpr double target = 1.3;

// Hashed colours under a disc, framed as the model sees it.
diffusion::CdpToEdit made_up_cdp(int number, int resolution) {
  io::Image rgba(resolution, resolution, 4);
  for (std::size_t i = 0; i < rgba.pixels.size(); ++i)
    rgba.pixels[i] =
        static_cast<std::uint8_t>(255 * test::hashed_number(static_cast<std::uint64_t>(number), i / 64));
  for (int y = 0; y < resolution; ++y) {
    for (int x = 0; x < resolution; ++x) {
      const double dx = x - resolution / 2.0, dy = y - resolution / 2.0;
      rgba.row(y)[4 * x + 3] = dx * dx + dy * dy < resolution * resolution / 8.0 ? 255 : 0;
    }
  }
  return {{std::move(rgba), {0, 0, static_cast<double>(resolution)}}, 0, std::to_string(number) + ".png"};
}

// One copy, written down step by step.
at::Tensor step_by_step(const diffusion::Generator& generator, const std::string& prompt,
                        const diffusion::CdpToEdit& cdp, std::int64_t copy) {
  const at::NoGradGuard no_gradients;
  const auto& model = generator.model();
  const auto& settings = generator.settings();
  const auto text = model.encode_text(model.ids_of(model.tokenizers, {prompt}));
  const auto nothing = model.unconditional(settings.generate.negative_prompt);
  const auto clean = encode_cdps(model, {cdp.framed.rgba}, settings.transparency.offset_gain).latents;
  const auto scheduler = make_scheduler(diffusion::kind_of(settings.generate.sampler), model.schedule,
                                        settings.generate.steps, settings.strength);
  const auto added = [&](const diffusion::TextCondition& condition) {
    return condition.pooled.defined() ? model.added_conditions(condition.pooled, settings.resolution)
                                      : models::UNet::Added{};
  };
  const auto seed = diffusion::seed_of_copy(settings.seed, cdp.source, copy);
  auto sample = scheduler->add_noise(clean, diffusion::edit_noise(seed, 0, clean.sizes()));
  for (std::size_t k = 0; k < scheduler->timesteps().size(); ++k) {
    const auto input = scheduler->model_input(sample, k);
    const auto time = at::full({1}, scheduler->timesteps()[k]);
    const auto without = model.unet->forward(input, time, nothing.states, added(nothing));
    const auto with = model.unet->forward(input, time, text.states, added(text));
    sample = scheduler->step(k, without + settings.generate.guidance * (with - without), sample);
  }
  return diffusion::decode_cdps(model, sample, {}).argb;
}

}  // namespace

int main(int argc, char** argv) {
  deda::keep_freed_memory();
  at::set_num_threads(1);
  const test::TemporaryFolder folder;
  diffusion::ModelsConfig models;
  models.base = argc > 1 ? std::filesystem::path{argv[1]} : folder.path();
  if (argc < 2) test::write_tiny_diffusion_model(folder.path(), {.sample_size = 16});
  const auto model = std::make_shared<const diffusion::DiffusionModel>(models, at::kCPU);
  diffusion::GeneratorSettings settings;
  settings.resolution = model->default_resolution();
  const std::string prompt = "a photo of a bird";
  const diffusion::Generator generator(model, settings,
                                       diffusion::prompts_of_names(*model, prompt, {"bird"}));
  std::vector<diffusion::CdpToEdit> sources;
  for (int i = 0; i < cdps; ++i) sources.push_back(made_up_cdp(i, static_cast<int>(settings.resolution)));
  const auto ours = [&] { return generator.edit(sources); };
  const auto loop = [&] {
    std::vector<at::Tensor> made;
    for (const auto& source : sources) {
      for (std::int64_t copy = 1; copy <= settings.generate.copies; ++copy)
        made.push_back(step_by_step(generator, prompt, source, copy));
    }
    return made;
  };

  diffusion::EditRecord record;
  generator.edit(sources, &record);
  const auto difference = (at::cat(loop()) - record.decoded.argb).abs().max().item<double>();
  std::printf("largest difference of alpha and colours between the two: %.1e\n", difference);
  constexpr double rounding = 2e-3;  // float32 summed in another order, multiplied by guidance over ten steps
  if (!(difference < rounding)) {
    std::printf("the two disagree: no times are told\n");
    return 1;
  }
  std::vector<double> seconds_ours, seconds_loop, ratios;
  for (int pair = 0; pair < pairs; ++pair) {
    const double a = seconds_of(ours), b = seconds_of(loop);
    seconds_ours.push_back(a);
    seconds_loop.push_back(b);
    ratios.push_back(b / a);
  }
  const double load = load_average();
  const double copies = cdps * static_cast<double>(settings.generate.copies);
  std::printf(
      "%d CDPs, %.0f copies at %lld pixels, 25 steps, strength 0.4, one core, median of %d turns, load "
      "%.1f\n",
      cdps, copies, static_cast<long long>(settings.resolution), pairs, load);
  std::printf("%-44s %8.2f copies/s\n", "deda", copies / median(seconds_ours));
  std::printf("%-44s %8.2f copies/s\n", "step by step", copies / median(seconds_loop));
  std::printf("%-44s %8.2f (target %.1f: %s)\n", "ratio", median(ratios), target,
              median(ratios) >= target ? "reached" : "missed");
  return 0;
}
