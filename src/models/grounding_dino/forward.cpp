#include "models/grounding_dino/forward.h"

#include <utility>

#include "core/error.h"
#include "models/forward_inputs.h"
#include "models/grounding_dino/grounding_dino.h"

namespace deda::models {
namespace {

void check_range(const at::Tensor& values, const std::string& name, std::int64_t end, ForwardInputs& inputs,
                 const ForwardRequest& request) {
  if (!values.defined() || values.numel() == 0) return;
  if (values.min().item<std::int64_t>() < 0 || values.max().item<std::int64_t>() >= end)
    inputs.problems.push_back(
        {"`" + name + "` holds values outside of 0.." + std::to_string(end - 1), request.inputs_from, {}});
}

NamedTensors run_grounding_dino(const ForwardRequest& request) {
  torch::NoGradGuard no_gradients;
  const auto config = read_grounding_dino_config(request.weights / "config.json");
  ForwardInputs inputs(request);
  const auto pixels = inputs.take("pixel_values", {-1, config.backbone.channels, -1, -1});
  const bool has_pixels = pixels.defined() && pixels.dim() == 4;
  const auto batch = has_pixels ? pixels.size(0) : -1;
  const auto mask = inputs.take(
      "pixel_mask", {batch, has_pixels ? pixels.size(2) : -1, has_pixels ? pixels.size(3) : -1}, true, true);
  const auto ids = inputs.take("input_ids", {batch, -1}, true);
  const auto columns = ids.defined() && ids.dim() == 2 ? ids.size(1) : -1;
  const auto attention = inputs.take("attention_mask", {batch, columns}, true, true);
  const auto types = inputs.take("token_type_ids", {batch, columns}, true, true);
  check_range(ids, "input_ids", config.text.vocab_size, inputs, request);
  check_range(types, "token_type_ids", config.text.token_types, inputs, request);
  if (attention.defined() && attention.dim() == 2 &&
      attention.slice(1, 0, config.max_text_len).eq(0).all(1).any().item<bool>())
    inputs.problems.push_back({"`attention_mask` has a row without a token", request.inputs_from, {}});
  inputs.finish();
  const auto network = load_grounding_dino(request.weights, request.dtype);
  network->to(request.device);
  const auto output = network->forward(pixels, mask, network->encode_text(ids, attention, types));
  NamedTensors outputs{{"logits", output.logits},
                       {"pred_boxes", output.pred_boxes},
                       {"encoder_last_hidden_state_vision", output.encoder_vision},
                       {"encoder_last_hidden_state_text", output.encoder_text},
                       {"init_reference_points", output.init_reference_points}};
  for (auto& [name, tensor] : outputs) tensor = tensor.to(at::kFloat).contiguous();
  return outputs;
}

}  // namespace

ForwardModel grounding_dino_forward_model() {
  return {"grounding_dino",
          "`pixel_values` [B, 3, H, W], `input_ids` [B, N] and optionally `pixel_mask`, `attention_mask`, "
          "`token_type_ids` -> `logits`, `pred_boxes`, `init_reference_points` and the encoder's states; "
          "WEIGHTS is "
          "the model's folder",
          run_grounding_dino};
}

}  // namespace deda::models
