#include <ATen/ATen.h>
#include <fmt/format.h>

#include <utility>
#include <vector>

#include "device/figures/diffusion_parts.h"
#include "device/figures/operation_count.h"
#include "diffusion/inversion/textual_inversion.h"
#include "diffusion/prompts.h"

namespace deda::figures {
namespace {

constexpr double samples_per_second_wanted = 200;  // of Stable Diffusion 1.5 on an H200
constexpr double half_precision_loss_scale = 1024;

// One class: every template with its identifier, and samples that take them in turn.
diffusion::InversionBatch made_up_batch(const DiffusionBench& parts, std::int64_t size) {
  const auto& model = *parts.model;
  constexpr std::int64_t timesteps_end = 401;  // TTTI's at strength 0.4: 0..400
  const std::string placeholder = diffusion::placeholder_of_class(0);
  auto tokenizers = model.tokenizers;
  for (auto& tokenizer : tokenizers) tokenizer.add_token(placeholder);
  std::vector<std::string> prompts;
  for (const auto& text : diffusion::prompt_templates(diffusion::TemplateSet::objects))
    prompts.push_back(diffusion::fill_template(text, placeholder));
  diffusion::InversionBatch batch;
  const auto channels = model.unet->config().in_channels, side = parts.latent_side();
  batch.latents = at::randn({size, channels, side, side});
  batch.noise = at::randn({size, channels, side, side});
  batch.timesteps = at::randint(0, timesteps_end, {size}, at::kLong);
  batch.prompt_ids = model.ids_of(tokenizers, prompts);
  for (std::int64_t i = 0; i < size; ++i)
    batch.prompts.push_back(i % static_cast<std::int64_t>(prompts.size()));
  return batch;
}

// A step on made-up samples.
class Step {
 public:
  Step(const DiffusionBench& parts, std::int64_t batch_size)
      : batch_{made_up_batch(parts, batch_size)},
        scales_{parts.model->unet_dtype == at::kHalf ? half_precision_loss_scale : 1.0},
        inversion_{*parts.model, parts.resolution(), 0} {
    constexpr double row_bound = 0.035;  // as the text encoder's own rows
    for (const auto& text : parts.model->text_encoders)
      rows_.front().push_back(at::empty({1, text->config().hidden_size}).uniform_(-row_bound, row_bound));
  }
  diffusion::InversionGradients gradients() const { return inversion_.gradients(batch_, rows_, scales_); }
  double forward_operations() const {
    return operations_in([&] { inversion_.losses(batch_, rows_.front(), batch_.latents.size(0)); });
  }

 private:
  diffusion::InversionBatch batch_;
  std::vector<diffusion::IdentifierRows> rows_{{}};
  std::vector<double> scales_;
  diffusion::TextualInversion inversion_;
};

std::string name_of_step(const DiffusionBench& parts, std::int64_t batch_size, const std::string& variant) {
  return fmt::format("diffusion.ttti.b{}.{}{}", batch_size, name_of(parts.model->unet_dtype), variant);
}

}  // namespace

void print_gradients_twice(const DiffusionBench& parts, std::int64_t batch_size, const std::string& variant) {
  const auto name = name_of_step(parts, batch_size, variant) + ".gradients_twice";
  const std::string goal = "equal bytes";
  parts.bench.attempt(name, [&] {
    const Step step(parts, batch_size);
    std::vector<at::Tensor> gradients;
    try {
      for (int i = 0; i < 2; ++i) gradients.push_back(step.gradients().gradients.front().front().cpu());
    } catch (const std::exception& error) {  // an operation without a kernel that repeats its bytes
      return print_text(name, reason_of(error), goal);
    }
    const bool equal = at::equal(gradients[0], gradients[1]);
    print_text(name,
               equal ? goal
                     : fmt::format("farthest {:.3g} of {:.3g}",
                                   (gradients[0] - gradients[1]).abs().max().item<double>(),
                                   gradients[0].abs().max().item<double>()),
               goal, equal);
  });
}

void print_inversion(const DiffusionBench& parts, std::int64_t batch_size, const std::string& variant) {
  const auto type = parts.model->unet_dtype;
  const auto name = name_of_step(parts, batch_size, variant);
  parts.bench.attempt(name, [&] {
    const Step step(parts, batch_size);
    diffusion::InversionGradients result;
    const auto work = [&] { result = step.gradients(); };
    // Weights are frozen, so that only the inputs' products go backwards.
    const double forward = step.forward_operations();
    const double operations = frozen_step_over_forward * forward / static_cast<double>(batch_size);
    const double rate = parts.bench.print_rate(name, static_cast<double>(batch_size), "samples/s", work,
                                               {.goal = samples_per_second_wanted});
    print_share(name, rate * operations, parts.rates.of(type));
    if (!at::isfinite(result.gradients.front().front()).all().item<bool>())
      print_error(name + ".finite", "the gradients are not finite");
  });
}

}  // namespace deda::figures
