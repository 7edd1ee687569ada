#include "models/classifiers/exported_graph.h"

#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/add.h>
#include <ATen/ops/avg_pool2d.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/upsample_bilinear2d.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "core/error.h"
#include "core/files.h"
#include "io/formats/safetensors.h"
#include "models/weights/tensor_file.h"

namespace deda::models {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr std::uint64_t most_json_bytes = 16u << 20;
constexpr std::int64_t largest_extent = 65536;
constexpr double input_middle = 128.0, input_scale = 128.0;  // how the exported networks were trained

enum class Kind {
  convolution,
  depthwise,
  fully_connected,
  add,
  average_pool,
  resize,
  pass,
  concatenate,
  reshape,
  arg_max,
  softmax
};
enum class Activation { none, relu, relu6 };

struct Operation {
  Kind kind = Kind::pass;
  std::string name;
  std::vector<std::int64_t> inputs;
  std::int64_t out = -1;
  std::array<std::int64_t, 2> stride{1, 1}, dilation{1, 1}, window{1, 1}, to{1, 1};
  bool same_padding = true, align_corners = false;
  Activation activation = Activation::none;
  at::Tensor weight, bias;
  std::vector<std::int64_t> finished;  // tensors that nothing needs after this operation
};

const std::map<std::string, Kind>& kinds() {
  static const std::map<std::string, Kind> names = {{"CONV_2D", Kind::convolution},
                                                    {"DEPTHWISE_CONV_2D", Kind::depthwise},
                                                    {"FULLY_CONNECTED", Kind::fully_connected},
                                                    {"ADD", Kind::add},
                                                    {"AVERAGE_POOL_2D", Kind::average_pool},
                                                    {"RESIZE_BILINEAR", Kind::resize},
                                                    {"QUANTIZE", Kind::pass},
                                                    {"DEQUANTIZE", Kind::pass},
                                                    {"CONCATENATION", Kind::concatenate},
                                                    {"RESHAPE", Kind::reshape},
                                                    {"ARG_MAX", Kind::arg_max},
                                                    {"SOFTMAX", Kind::softmax}};
  return names;
}

bool has_kernel(Kind kind) {
  return kind == Kind::convolution || kind == Kind::depthwise || kind == Kind::fully_connected;
}

// TensorFlow's SAME: the output has ceil(in / stride) places; what is missing goes in front and behind, the
// smaller half first.
std::array<std::int64_t, 2> same_padding(std::int64_t in, std::int64_t kernel, std::int64_t stride,
                                         std::int64_t dilation) {
  const std::int64_t places = (in + stride - 1) / stride;
  const std::int64_t total =
      std::max<std::int64_t>((places - 1) * stride + (kernel - 1) * dilation + 1 - in, 0);
  return {total / 2, total - total / 2};
}

at::Tensor activated(at::Tensor x, Activation activation) {
  constexpr double relu6_top = 6.0;
  if (activation == Activation::relu) x.clamp_min_(0);
  if (activation == Activation::relu6) x.clamp_(0, relu6_top);
  return x;
}

at::Tensor convolved(const at::Tensor& x, const Operation& op) {
  at::Tensor padded = x;
  std::array<std::int64_t, 2> padding{0, 0};
  if (op.same_padding) {
    const auto rows = same_padding(x.size(2), op.weight.size(2), op.stride[0], op.dilation[0]);
    const auto columns = same_padding(x.size(3), op.weight.size(3), op.stride[1], op.dilation[1]);
    if (rows[0] == rows[1] && columns[0] == columns[1]) {
      padding = {rows[0], columns[0]};  // no copy of the picture
    } else {
      padded = at::constant_pad_nd(x, {columns[0], columns[1], rows[0], rows[1]});
    }
  }
  const std::int64_t groups = op.kind == Kind::depthwise ? x.size(1) : 1;
  return at::conv2d(padded, op.weight, op.bias, op.stride, padding, op.dilation, groups);
}

at::Tensor pooled(const at::Tensor& x, const Operation& op) {
  // One window over everything: an exact mean in one kernel.
  if (x.size(2) == op.window[0] && x.size(3) == op.window[1]) return at::adaptive_avg_pool2d(x, {1, 1});
  return at::avg_pool2d(x, op.window, op.stride);
}

// Reads graph.json and fills the operations; everything wrong ends up in `problems`.
class GraphReader {
 public:
  GraphReader(const fs::path& folder, std::vector<Problem>& problems)
      : file_{(folder / "graph.json").string()}, problems_{problems} {
    Json json;
    try {
      json = Json::parse(read_text(folder / "graph.json", most_json_bytes));
      const auto& input = json.at("input");
      const auto shape = input.at("shape_nhwc").get<std::vector<std::int64_t>>();
      input_tensor = input.at("tensor").get<std::int64_t>();
      const bool fits = shape.size() == 4 && shape[3] == 3 && shape[1] >= 1 && shape[2] >= 1 &&
                        shape[1] <= largest_extent && shape[2] <= largest_extent;
      if (!fits)
        problem("input", "input.shape_nhwc is not [B, H, W, 3]");
      else
        height = static_cast<int>(shape[1]), width = static_cast<int>(shape[2]);
      for (const auto& op : json.at("ops")) read_operation(op);
    } catch (const Error& error) {
      problems_.insert(problems_.end(), error.problems().begin(), error.problems().end());
    } catch (const Json::exception& error) {
      problem("graph", std::string{"is no graph of this form: "} + error.what());
    }
  }
  std::vector<Operation> operations;
  std::int64_t input_tensor = 0;
  int height = 0, width = 0;

 private:
  void problem(const std::string& where, const std::string& what) {
    problems_.push_back({what, file_ + ": " + where, {}});
  }
  static std::array<std::int64_t, 2> pair(const Json& op, const char* rows, const char* columns) {
    return {op.value(rows, std::int64_t{1}), op.value(columns, std::int64_t{1})};
  }
  void read_operation(const Json& json) {
    const std::string type = json.at("op").get<std::string>();
    const std::string where = "operation " + std::to_string(operations.size()) + " (" + type + ")";
    const auto kind = kinds().find(type);
    if (kind == kinds().end()) {
      problem(where, "this operation is not known");
      return;
    }
    Operation op;
    op.kind = kind->second;
    if (json.contains("name") && json["name"].is_string()) op.name = json["name"].get<std::string>();
    op.inputs = json.at("inputs").get<std::vector<std::int64_t>>();
    op.out = json.at("out").get<std::int64_t>();
    op.stride = pair(json, "sh", "sw");
    op.dilation = pair(json, "dh", "dw");
    op.window = pair(json, "fh", "fw");
    op.same_padding = json.value("pad", std::string{"SAME"}) == "SAME";
    op.align_corners = json.value("align_corners", false);
    if (op.kind == Kind::resize) op.to = json.at("to").get<std::array<std::int64_t, 2>>();
    const std::string activation = json.value("act", std::string{"none"});
    if (activation == "relu")
      op.activation = Activation::relu;
    else if (activation == "relu6")
      op.activation = Activation::relu6;
    else if (activation != "none")
      problem(where, "activation \"" + activation + "\" is not known");
    for (const auto& pair : {op.stride, op.dilation, op.window, op.to}) {
      for (const std::int64_t value : pair) {
        if (value < 1 || value > largest_extent) problem(where, "has a size of " + std::to_string(value));
      }
    }
    if (op.kind == Kind::resize && json.value("half_pixel_centers", false))
      problem(where, "half_pixel_centers is not computed by this program");
    if (op.activation != Activation::none && !has_kernel(op.kind) && op.kind != Kind::add)
      problem(where, "has an activation, which this program computes after kernels and sums only");
    if (op.kind == Kind::average_pool && op.same_padding)
      problem(where, "average pooling with padding is not computed by this program");
    if (op.kind == Kind::concatenate && json.value("axis", std::int64_t{3}) != 3)
      problem(where, "concatenates along another axis than the channels");
    const std::size_t wanted = op.kind == Kind::add ? 2 : 1;
    if (op.inputs.size() < wanted || (op.kind != Kind::concatenate && op.inputs.size() != wanted))
      problem(where, "has " + std::to_string(op.inputs.size()) + " inputs");
    operations.push_back(std::move(op));
  }

  std::string file_;
  std::vector<Problem>& problems_;
};

// The kernels of the folder: model.safetensors, the folder's own name, or the only one that is no golden
// file.
fs::path weights_of(const fs::path& folder, std::vector<Problem>& problems) {
  std::vector<fs::path> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const auto& path = entry.path();
    if (path.extension() == ".safetensors" && path.filename() != "golden.safetensors") found.push_back(path);
  }
  const auto named = [&](const fs::path& name) {
    return std::find(found.begin(), found.end(), folder / name) != found.end();
  };
  if (named("model.safetensors")) return folder / "model.safetensors";
  const fs::path own = fs::absolute(folder / ".").parent_path().filename().string() + ".safetensors";
  if (named(own)) return folder / own;
  if (found.size() == 1) return found.front();
  problems.push_back({found.empty() ? "holds no .safetensors file with the network's kernels"
                                    : "holds several .safetensors files; none is called model.safetensors",
                      folder.string(),
                      {}});
  return {};
}

std::vector<std::string> read_labels(const fs::path& file, std::vector<Problem>& problems) {
  std::vector<std::string> labels;
  try {
    std::istringstream lines(read_text(file, most_json_bytes));
    for (std::string line; std::getline(lines, line);) {
      while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
      labels.push_back(line);
    }
  } catch (const Error& error) {
    problems.insert(problems.end(), error.problems().begin(), error.problems().end());
  }
  return labels;
}

}  // namespace

struct ExportedGraph::State {
  std::vector<Operation> operations;
  std::vector<std::string> labels;
  std::int64_t input_tensor = 0, logits_tensor = -1, classes = 0;
  int height = 0, width = 0;
  at::Device device = at::kCPU;
  at::ScalarType dtype = at::kFloat;

  void fill_kernels(const fs::path& file, std::vector<Problem>& problems);
  void check_flow(const std::string& where, std::vector<Problem>& problems);
};

void ExportedGraph::State::fill_kernels(const fs::path& file, std::vector<Problem>& problems) {
  if (file.empty()) return;
  const io::SafetensorsFile tensors(file);
  std::set<std::string> used;
  for (auto& op : operations) {
    if (!has_kernel(op.kind)) continue;
    for (const auto& [suffix, target, dimensions] :
         {std::tuple{".weight", &op.weight, op.kind == Kind::fully_connected ? 2u : 4u},
          std::tuple{".bias", &op.bias, 1u}}) {
      const std::string name = op.name + suffix;
      if (!tensors.contains(name)) {
        problems.push_back({"tensor `" + name + "` is missing", file.string(), {}});
        continue;
      }
      used.insert(name);
      *target = to_tensor(tensors.at(name)).to(device, dtype);
      if (target->dim() != dimensions || target->numel() == 0)
        problems.push_back(
            {"tensor `" + name + "` has shape " + c10::str(target->sizes()), file.string(), {}});
    }
    const bool fits = !op.weight.defined() || !op.bias.defined() || op.weight.dim() != 4 ||
                      op.bias.dim() != 1 || op.weight.size(0) == op.bias.size(0);
    if (!fits)
      problems.push_back({"kernel and bias of `" + op.name + "` differ in channels", file.string(), {}});
  }
  for (const auto& [name, view] : tensors.tensors()) {
    if (used.count(name) == 0)
      problems.push_back({"tensor `" + name + "` is used by no operation", file.string(), {}});
  }
}

// Follows the channels through the operations, so that a graph that passed can be run.
void ExportedGraph::State::check_flow(const std::string& where, std::vector<Problem>& problems) {
  std::map<std::int64_t, std::int64_t> channels = {{input_tensor, 3}};
  std::map<std::int64_t, std::size_t> last_use;
  for (std::size_t i = 0; i < operations.size(); ++i) {
    auto& op = operations[i];
    std::vector<std::int64_t> in;
    for (const std::int64_t input : op.inputs) {
      if (channels.count(input) == 0) {
        problems.push_back({"operation " + std::to_string(i) + " reads tensor " + std::to_string(input) +
                                ", which nothing made before",
                            where,
                            {}});
        return;
      }
      in.push_back(channels[input]);
      last_use[input] = i;
    }
    std::int64_t out = in.front();
    if (has_kernel(op.kind)) {
      out = op.weight.size(0);
      const std::int64_t expected = op.kind == Kind::depthwise ? 1 : in.front();
      if (op.weight.size(1) != expected || (op.kind == Kind::depthwise && out != in.front())) {
        problems.push_back({"kernel of `" + op.name + "` has shape " + c10::str(op.weight.sizes()) + " for " +
                                std::to_string(in.front()) + " channels",
                            where,
                            {}});
        return;
      }
      logits_tensor = op.out;
      classes = out;
    }
    if (op.kind == Kind::add && in[0] != in[1])
      problems.push_back({"operation " + std::to_string(i) + " adds different channels", where, {}});
    if (op.kind == Kind::concatenate) {
      out = 0;
      for (const std::int64_t each : in) out += each;
    }
    channels[op.out] = out;
    last_use[op.out] = i;
  }
  if (logits_tensor < 0) problems.push_back({"has no operation with a kernel", where, {}});
  last_use[logits_tensor] = operations.size();  // kept for the caller
  for (const auto& [tensor, operation] : last_use) {
    if (operation < operations.size()) operations[operation].finished.push_back(tensor);
  }
}

ExportedGraph::ExportedGraph(const fs::path& folder, at::Device device, at::ScalarType dtype) {
  std::vector<Problem> problems;
  if (!fs::is_directory(folder))
    throw DataError("is no folder with graph.json, labels.txt and a .safetensors file", folder.string(),
                    "README of src/decoupling says where such a network comes from.");
  auto state = std::make_unique<State>();
  GraphReader reader(folder, problems);
  state->operations = std::move(reader.operations);
  state->input_tensor = reader.input_tensor;
  state->height = reader.height;
  state->width = reader.width;
  state->device = device;
  state->dtype = dtype;
  state->labels = read_labels(folder / "labels.txt", problems);
  try {
    state->fill_kernels(weights_of(folder, problems), problems);
  } catch (const Error& error) {
    problems.insert(problems.end(), error.problems().begin(), error.problems().end());
  }
  if (problems.empty()) state->check_flow((folder / "graph.json").string(), problems);
  if (problems.empty() && static_cast<std::int64_t>(state->labels.size()) != state->classes)
    problems.push_back({"has " + std::to_string(state->labels.size()) + " lines for " +
                            std::to_string(state->classes) + " classes",
                        (folder / "labels.txt").string(),
                        {}});
  if (!problems.empty()) throw DataError(std::move(problems));
  state_ = std::move(state);
}

ExportedGraph::~ExportedGraph() = default;
ExportedGraph::ExportedGraph(ExportedGraph&&) noexcept = default;
ExportedGraph& ExportedGraph::operator=(ExportedGraph&&) noexcept = default;

namespace {

using Tensors = std::map<std::int64_t, at::Tensor>;

at::Tensor result_of(const Operation& op, const Tensors& tensors) {
  const at::Tensor& x = tensors.at(op.inputs.front());
  switch (op.kind) {
    case Kind::convolution:
    case Kind::depthwise:
      return activated(convolved(x, op), op.activation);
    case Kind::fully_connected:
      return activated(at::linear(x.flatten(1), op.weight, op.bias), op.activation);
    case Kind::add:
      return activated(at::add(x, tensors.at(op.inputs[1])), op.activation);
    case Kind::average_pool:
      return pooled(x, op);
    case Kind::resize:
      if (x.size(2) == op.to[0] && x.size(3) == op.to[1]) return x;
      return at::upsample_bilinear2d(x, op.to, op.align_corners);
    case Kind::concatenate: {
      std::vector<at::Tensor> parts;
      for (const std::int64_t input : op.inputs) parts.push_back(tensors.at(input));
      return at::cat(parts, 1);
    }
    case Kind::pass:
    case Kind::reshape:  // only in front of the softmax of a classifier, whose numbers stay as they are
    case Kind::arg_max:
    case Kind::softmax:
      return x;
  }
  return x;
}

}  // namespace

GraphOutputs ExportedGraph::forward(const at::Tensor& image_u8_nhwc) const {
  if (image_u8_nhwc.dim() != 4 || image_u8_nhwc.size(0) < 1 || image_u8_nhwc.size(1) != state_->height ||
      image_u8_nhwc.size(2) != state_->width || image_u8_nhwc.size(3) != 3)
    throw ModelError("the network takes [B, " + std::to_string(state_->height) + ", " +
                     std::to_string(state_->width) + ", 3], got " + c10::str(image_u8_nhwc.sizes()));
  const c10::InferenceMode inference;
  Tensors tensors;
  // Kept as it is: the interleaved bytes are channels-last order, which the kernels are fastest with.
  tensors[state_->input_tensor] = image_u8_nhwc.permute({0, 3, 1, 2})
                                      .to(state_->device, state_->dtype)
                                      .sub_(input_middle)
                                      .div_(input_scale);
  GraphOutputs outputs;
  for (const auto& op : state_->operations) {
    try {
      tensors[op.out] = result_of(op, tensors);
    } catch (const c10::Error& error) {  // sizes that do not fit each other: only a changed graph has them
      throw ModelError("operation " + op.name + " of the exported graph: " + error.what_without_backtrace());
    }
    if (op.kind == Kind::arg_max || op.kind == Kind::softmax) outputs.scores = tensors.at(op.inputs.front());
    for (const std::int64_t tensor : op.finished) tensors.erase(tensor);
  }
  outputs.logits = tensors.at(state_->logits_tensor);
  if (!outputs.scores.defined()) outputs.scores = outputs.logits;
  return outputs;
}

int ExportedGraph::height() const {
  return state_->height;
}
int ExportedGraph::width() const {
  return state_->width;
}
std::int64_t ExportedGraph::classes() const {
  return state_->classes;
}
const std::vector<std::string>& ExportedGraph::labels() const {
  return state_->labels;
}

}  // namespace deda::models
