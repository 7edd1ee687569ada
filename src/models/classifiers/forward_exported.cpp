#include "models/classifiers/forward_exported.h"

#include "core/error.h"
#include "models/classifiers/exported_graph.h"

namespace deda::models {
namespace {

NamedTensors run(const ForwardRequest& request) {
  std::vector<Problem> problems;
  for (const auto& [name, tensor] : request.inputs) {
    if (name != "image_u8_nhwc")
      problems.push_back({"unknown input tensor `" + name + "`", request.inputs_from,
                          "This network takes only `image_u8_nhwc`."});
  }
  std::unique_ptr<ExportedGraph> graph;
  try {
    graph = std::make_unique<ExportedGraph>(request.weights, request.device, request.dtype);
  } catch (const DataError& error) {
    problems.insert(problems.end(), error.problems().begin(), error.problems().end());
  }
  const auto found = request.inputs.find("image_u8_nhwc");
  if (found == request.inputs.end()) {
    problems.push_back({"input tensor `image_u8_nhwc` is missing", request.inputs_from, {}});
  } else if (graph) {
    const auto& image = found->second;
    const bool fits = image.dim() == 4 && image.size(0) > 0 && image.size(1) == graph->height() &&
                      image.size(2) == graph->width() && image.size(3) == 3 &&
                      image.scalar_type() == at::kByte;
    if (!fits)
      problems.push_back({"input tensor `image_u8_nhwc` has shape " + c10::str(image.sizes()) +
                              ", expected [B, " + std::to_string(graph->height()) + ", " +
                              std::to_string(graph->width()) + ", 3] of uint8",
                          request.inputs_from,
                          {}});
  }
  if (!problems.empty()) throw DataError(std::move(problems));
  return {{"logits", graph->forward(found->second).logits.to(at::kFloat).contiguous()}};
}

}  // namespace

std::vector<ForwardModel> exported_forward_models() {
  return {
      {"deeplabv3_mnv2",
       "`image_u8_nhwc` [B, 513, 513, 3] uint8 -> `logits` [B, classes, 33, 33], before they are enlarged",
       run},
      {"mobilenet_v2_exported",
       "`image_u8_nhwc` [B, 224, 224, 3] uint8 -> `logits` [B, classes, 1, 1], before the softmax", run}};
}

}  // namespace deda::models
