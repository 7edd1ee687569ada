// How fast synthetic CDPs are made and whole pictures edited, against the loop as the public programs write
// it: one source and one copy at a time, both texts encoded for each, the source encoded for each copy, two
// UNet calls per step. Same networks, same noise, one core; outputs are compared first. Ratio of one run, the
// two taking turns. bench_generation [model folder]
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
#include "diffusion/whole/picture_generator.h"
#include "support/hashed_numbers.h"
#include "support/temporary_folder.h"
#include "support/tiny_diffusion_model.h"

namespace {

using namespace deda;
using namespace deda::bench;

constexpr int cdps = 4, pairs = 7;
constexpr int pictures = 4;
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

// Whole pictures: every one at each of DA-Fusion's strengths, as its four copies of a picture are.
diffusion::PictureSettings picture_settings(const diffusion::DiffusionModel& model) {
  diffusion::PictureSettings settings;
  settings.edit = {.steps = 25, .guidance = 7.5, .resolution = model.default_resolution()};
  settings.strengths = {0.25, 0.5, 0.75, 1.0};
  return settings;
}

// Hashed colours in blocks, larger than the model's square.
io::Image made_up_picture(int number, int resolution) {
  constexpr int block = 9;
  io::Image picture(resolution * 2, resolution * 3, 3);
  for (int y = 0; y < picture.height; ++y) {
    for (int x = 0; x < 3 * picture.width; ++x)
      picture.row(y)[x] = static_cast<std::uint8_t>(
          255 *
          test::hashed_number(static_cast<std::uint64_t>(50 + number),
                              static_cast<std::uint64_t>((y / block) * 1000 + x / (3 * block) * 3 + x % 3)));
  }
  return picture;
}

io::Image picture_step_by_step(const diffusion::DiffusionModel& model,
                               const diffusion::PictureSettings& settings, const std::string& prompt,
                               const io::Image& picture, double strength, std::uint64_t seed) {
  const at::NoGradGuard no_gradients;
  const auto text = model.encode_text(model.ids_of(model.tokenizers, {prompt}));
  const auto nothing = model.unconditional("");
  const auto side = static_cast<int>(settings.edit.resolution);
  const auto encoded = encode_pictures(model, {io::resize(picture, side, side, settings.into_square)}, 1);
  const auto clean =
      sampled_latents(model, encoded, {0}, diffusion::posterior_noise(seed, encoded.mean.sizes()));
  const auto scheduler =
      make_scheduler(settings.edit.scheduler, model.schedule, settings.edit.steps, strength);
  const auto added = [&](const diffusion::TextCondition& condition) {
    return condition.pooled.defined() ? model.added_conditions(condition.pooled, settings.edit.resolution)
                                      : models::UNet::Added{};
  };
  auto sample = scheduler->add_noise(clean, diffusion::edit_noise(seed, 0, clean.sizes()));
  for (std::size_t k = 0; k < scheduler->timesteps().size(); ++k) {
    const auto input = scheduler->model_input(sample, k);
    const auto time = at::full({1}, scheduler->timesteps()[k]);
    const auto without = model.unet->forward(input, time, nothing.states, added(nothing));
    const auto with = model.unet->forward(input, time, text.states, added(text));
    sample = scheduler->step(k, without + settings.edit.guidance * (with - without), sample);
  }
  return diffusion::rgb_pictures(decode_pictures(model, sample, 1)).front();
}

struct Speeds {
  std::vector<double> seconds_ours, seconds_loop, ratios;
};

// The two take turns.
template <class Ours, class Loop>
Speeds speeds_of(const Ours& ours, const Loop& loop) {
  Speeds speeds;
  for (int pair = 0; pair < pairs; ++pair) {
    const double a = seconds_of(ours), b = seconds_of(loop);
    speeds.seconds_ours.push_back(a);
    speeds.seconds_loop.push_back(b);
    speeds.ratios.push_back(b / a);
  }
  return speeds;
}

void print(const Speeds& speeds, double results, const char* unit) {
  std::printf("%-44s %8.2f %s/s\n", "deda", results / median(speeds.seconds_ours), unit);
  std::printf("%-44s %8.2f %s/s\n", "step by step", results / median(speeds.seconds_loop), unit);
  std::printf("%-44s %8.2f (target %.1f: %s)\n", "ratio", median(speeds.ratios), target,
              median(speeds.ratios) >= target ? "reached" : "missed");
}

int whole_pictures(const std::shared_ptr<const diffusion::DiffusionModel>& model, const std::string& prompt) {
  const auto settings = picture_settings(*model);
  std::vector<io::Image> sources;
  std::vector<diffusion::PictureTask> tasks;
  for (int i = 0; i < pictures; ++i) {
    sources.push_back(made_up_picture(i, static_cast<int>(settings.edit.resolution)));
    for (const double strength : settings.strengths)
      tasks.push_back({static_cast<std::size_t>(i), 0, strength, tasks.size() + 1});
  }
  const auto ours = [&] {
    const at::NoGradGuard no_gradients;
    const diffusion::PictureGenerator generator(
        model, settings, {model->encode_text(model->ids_of(model->tokenizers, {prompt}))},
        model->unconditional(""));
    return generator.edit(generator.prepare(sources), tasks);
  };
  const auto loop = [&] {
    std::vector<io::Image> made;
    for (const auto& task : tasks)
      made.push_back(
          picture_step_by_step(*model, settings, prompt, sources[task.picture], task.strength, task.seed));
    return made;
  };
  const auto found = ours();
  const auto expected = loop();
  int difference = 0;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    for (std::size_t k = 0; k < expected[i].pixels.size(); ++k)
      difference = std::max(difference, found[i].picture.empty()
                                            ? 255
                                            : std::abs(found[i].picture.pixels[k] - expected[i].pixels[k]));
  }
  std::printf("\nlargest difference of 8-bit pictures between the two: %d\n", difference);
  constexpr int rounding = 1;  // a number that rounding moves across a half
  if (difference > rounding) {
    std::printf("the two disagree: no times are told\n");
    return 1;
  }
  const auto speeds = speeds_of(ours, loop);
  std::printf(
      "%d whole pictures, %zu edits at %lld pixels, 25 steps, strengths 0.25 to 1, one core, median of "
      "%d turns, load %.1f\n",
      pictures, tasks.size(), static_cast<long long>(settings.edit.resolution), pairs, load_average());
  print(speeds, static_cast<double>(tasks.size()), "edits");
  return 0;
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
  const auto speeds = speeds_of(ours, loop);
  const double copies = cdps * static_cast<double>(settings.generate.copies);
  std::printf(
      "%d CDPs, %.0f copies at %lld pixels, 25 steps, strength 0.4, one core, median of %d turns, load "
      "%.1f\n",
      cdps, copies, static_cast<long long>(settings.resolution), pairs, load_average());
  print(speeds, copies, "copies");
  return whole_pictures(model, prompt);
}
