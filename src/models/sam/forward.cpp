#include "models/sam/forward.h"

#include "models/forward_inputs.h"
#include "models/sam/sam.h"

namespace deda::models {
namespace {

// Coordinates stay in float32: half precision would move them by pixels.
at::Tensor coordinates(const ForwardRequest& request, const std::string& name, const at::Tensor& taken) {
  return taken.defined() ? request.inputs.at(name).to(request.device, at::kFloat) : taken;
}

NamedTensors run(const ForwardRequest& request) {
  at::NoGradGuard no_gradients;
  const auto loaded = load_sam(request.weights, request.device, request.dtype);
  const auto& network = *loaded.network;
  const auto side = network.config().image_size(), grid = network.config().grid();
  const auto channels = network.config().prompt.hidden_size;
  ForwardInputs inputs(request);
  const auto pixels = inputs.take("pixel_values", {-1, 3, side, side}, false, true);
  auto embeddings = inputs.take("image_embeddings", {-1, channels, grid, grid}, false, true);
  if (pixels.defined() == embeddings.defined())
    inputs.problems.push_back(
        {"either `pixel_values` or `image_embeddings` must be given", request.inputs_from, {}});
  const auto& picture = pixels.defined() ? pixels : embeddings;
  const auto batch = picture.defined() && picture.dim() > 0 ? picture.size(0) : -1;
  SamPrompts prompts;
  prompts.boxes = inputs.take("input_boxes", {batch, -1, 4}, false, true);
  const auto count = prompts.boxes.defined() && prompts.boxes.dim() == 3 ? prompts.boxes.size(1) : -1;
  prompts.points = inputs.take("input_points", {batch, count, -1, 2}, false, true);
  if (prompts.points.defined() && prompts.points.dim() == 4) {
    prompts.labels =
        inputs.take("input_labels", {batch, prompts.points.size(1), prompts.points.size(2)}, true, true);
    // As transformers: points without labels lie inside.
    if (!prompts.labels.defined())
      prompts.labels =
          at::ones(prompts.points.sizes().slice(0, 3), prompts.points.options().dtype(at::kLong));
  }
  prompts.masks = inputs.take("input_masks", {batch, 1, 4 * grid, 4 * grid}, false, true);
  const auto multimask = inputs.take("multimask_output", {1}, true, true);
  inputs.finish();
  prompts.boxes = coordinates(request, "input_boxes", prompts.boxes);
  prompts.points = coordinates(request, "input_points", prompts.points);
  if (pixels.defined()) embeddings = network.embed(pixels);
  const auto output =
      network.segment(embeddings, prompts, !multimask.defined() || multimask.item<std::int64_t>() != 0);
  return {{"pred_masks", output.pred_masks.to(at::kFloat)},
          {"iou_scores", output.iou_scores.to(at::kFloat)},
          {"image_embeddings", embeddings.to(at::kFloat)}};
}

}  // namespace

ForwardModel sam_forward_model() {
  return {
      "sam",
      "`pixel_values` [B, 3, S, S] or `image_embeddings`, with `input_boxes` [B, N, 4] and, if wanted, "
      "`input_points` [B, N, P, 2], `input_labels`, `input_masks` [B, 1, S/4, S/4], `multimask_output` [1] "
      "(absent: 1) -> `pred_masks`, `iou_scores`, `image_embeddings`; WEIGHTS also MobileSAM's",
      run};
}

}  // namespace deda::models
