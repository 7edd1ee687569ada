#include "models/clip/forward.h"

#include "models/clip/clip.h"
#include "models/forward_inputs.h"

namespace deda::models {
namespace {

void check_ids(const at::Tensor& ids, const ClipTextConfig& config, ForwardInputs& inputs,
               const std::string& where) {
  if (ids.size(1) > config.positions)
    inputs.problems.push_back(
        {"`input_ids` has more than " + std::to_string(config.positions) + " columns", where, {}});
  if (ids.min().item<std::int64_t>() < 0 || ids.max().item<std::int64_t>() >= config.vocab_size)
    inputs.problems.push_back(
        {"`input_ids` holds ids outside of 0.." + std::to_string(config.vocab_size - 1), where, {}});
}

// Padding behind the end token changes nothing, since no token looks at what stands behind it. A mask that
// hides more is not computed here, and must not be passed over.
void check_mask(const at::Tensor& mask, const at::Tensor& end_places, ForwardInputs& inputs,
                const std::string& where) {
  const auto places = at::arange(mask.size(1), mask.options());
  const auto read = places.unsqueeze(0) <= end_places.unsqueeze(1);
  if ((mask.eq(0) & read).any().item<bool>())
    inputs.problems.push_back({"`attention_mask` hides tokens up to the end token", where,
                               "Only padding behind the end token may be hidden."});
}

NamedTensors run(const ForwardRequest& request) {
  const at::NoGradGuard no_gradients;
  const auto loaded = load_clip(request.weights, request.device, request.dtype);
  const auto& network = *loaded.network;
  const auto& config = network.config();
  ForwardInputs inputs(request);
  const auto side = config.vision.image_size;
  const auto pixels = inputs.take("pixel_values", {-1, 3, side, side});
  const auto ids = inputs.take("input_ids", {-1, -1}, true);
  const bool has_ids = ids.defined() && ids.dim() == 2 && ids.numel() > 0;
  const auto mask =
      inputs.take("attention_mask", {has_ids ? ids.size(0) : -1, has_ids ? ids.size(1) : -1}, true, true);
  if (has_ids) {
    check_ids(ids, config.text, inputs, request.inputs_from);
    if (mask.defined() && mask.sizes() == ids.sizes())
      check_mask(mask, network.text().end_places(ids), inputs, request.inputs_from);
  }
  inputs.finish();
  const auto images = network.image_embeds(pixels), texts = network.text_embeds(ids);
  return {{"image_embeds", images.to(at::kFloat)},
          {"text_embeds", texts.to(at::kFloat)},
          {"logits_per_image", network.logits_per_image(images, texts).to(at::kFloat)}};
}

}  // namespace

ForwardModel clip_forward_model() {
  return {"clip",
          "`pixel_values` [N, 3, S, S], `input_ids` [M, L] and, if wanted, `attention_mask` [M, L] -> "
          "`image_embeds` [N, D], `text_embeds` [M, D] (before normalisation), `logits_per_image` [N, M]",
          run};
}

}  // namespace deda::models
