// A network that was exported as a list of operations: graph.json (every operation in order, TensorFlow
// Lite's vocabulary), one safetensors file with its kernels, labels.txt. Runs DeepLabV3 and MobileNetV2 from
// such folders with plain LibTorch operators; batch norm is folded into the kernels already.
//
// graph.json: {"input": {"tensor", "shape_nhwc"}, "output", "ops": [{"op", "name", "inputs", "out",
// "out_shape_nhwc", and what the operation needs: "sh" "sw" stride, "dh" "dw" dilation, "act" none | relu |
// relu6, "fh" "fw" window, "to" size, "align_corners", "axis"}]}. Padding SAME is TensorFlow's.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace deda::models {

struct GraphOutputs {
  at::Tensor logits;  // [B, classes, h, w]: of the last convolution, before any resizing or softmax
  at::Tensor scores;  // [B, classes, h', w']: what the final arg max or softmax is taken over
};

// Safe from several threads at once.
class ExportedGraph {
 public:
  // DataError lists every missing file, unknown operation, dangling input and misshapen kernel.
  explicit ExportedGraph(const std::filesystem::path& folder, at::Device device = at::kCPU,
                         at::ScalarType dtype = at::kFloat);
  ~ExportedGraph();
  ExportedGraph(ExportedGraph&&) noexcept;
  ExportedGraph& operator=(ExportedGraph&&) noexcept;

  // [B, height(), width(), 3] uint8 RGB -> outputs on the network's device and in its type; ModelError for
  // another shape. The network's input is (value - 128) / 128.
  GraphOutputs forward(const at::Tensor& image_u8_nhwc) const;

  int height() const;  // of the input
  int width() const;
  std::int64_t classes() const;
  const std::vector<std::string>& labels() const;  // a line of labels.txt per class

 private:
  struct State;
  std::unique_ptr<const State> state_;
};

}  // namespace deda::models
