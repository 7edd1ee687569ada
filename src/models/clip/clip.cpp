#include "models/clip/clip.h"

#include "core/error.h"
#include "models/text/clip_layer.h"
#include "models/weights/tensor_file.h"
#include "models/weights/weight_files.h"

namespace deda::models {
namespace {

// A kernel as large as its step, without bias.
class PatchEmbedding : public torch::nn::Module {
 public:
  PatchEmbedding(std::int64_t width, std::int64_t patch) : patch_{patch} {
    weight =
        register_parameter("weight", at::empty({width, clip_colours, patch, patch}, parameter_options()));
  }
  at::Tensor forward(const at::Tensor& pixels) const {  // [N, 3, S, S] -> [N, patches, width]
    return at::conv2d(pixels, weight, {}, patch_).flatten(2).transpose(1, 2);
  }
  at::Tensor weight;

 private:
  std::int64_t patch_;
};

at::Tensor of_length_one(const at::Tensor& x) {
  return x / at::linalg_vector_norm(x, 2, at::IntArrayRef{-1}, /*keepdim=*/true);
}

// A configuration decides how much memory is asked for: before the network is built, its sizes are held
// against the tensors that are there.
class SizesInFile {
 public:
  SizesInFile(const WeightFiles& files, const std::filesystem::path& config)
      : files_{files}, config_{config} {}
  void expect(const std::string& name, const std::vector<std::int64_t>& shape) {
    const auto found = shape_in(files_, name);
    if (found.empty())
      problems_.push_back({"tensor " + name + " " + shape_text(shape) + " is missing", files_.where, {}});
    else if (found != shape)
      problems_.push_back({"tensor " + name + " has shape " + shape_text(found) +
                               ", by the configuration it is " + shape_text(shape),
                           files_.where,
                           "Take " + config_.filename().string() + " and weights from the same model."});
  }
  // Layers PREFIX0 to PREFIX(count - 1), and none behind.
  void expect_layers(const std::string& prefix, std::int64_t count) {
    std::int64_t found = 0;
    while (!shape_in(files_, prefix + std::to_string(found) + ".layer_norm1.weight").empty()) ++found;
    if (found != count)
      problems_.push_back({"the weights have " + std::to_string(found) + " layers " + prefix +
                               "N, by the configuration there are " + std::to_string(count),
                           files_.where,
                           "Take " + config_.filename().string() + " and weights from the same model."});
  }
  void finish() {
    if (!problems_.empty()) throw DataError(std::move(problems_));
  }

 private:
  const WeightFiles& files_;
  std::filesystem::path config_;
  std::vector<Problem> problems_;
};

void check_sizes(const WeightFiles& files, const ClipConfig& config,
                 const std::filesystem::path& config_file) {
  const auto& vision = config.vision;
  const auto& text = config.text;
  SizesInFile sizes(files, config_file);
  const std::string pictures = "vision_model.", texts = "text_model.", layers = "encoder.layers.";
  sizes.expect(pictures + "embeddings.class_embedding", {vision.hidden_size});
  sizes.expect(pictures + "embeddings.patch_embedding.weight",
               {vision.hidden_size, clip_colours, vision.patch_size, vision.patch_size});
  sizes.expect(pictures + "embeddings.position_embedding.weight", {vision.positions(), vision.hidden_size});
  sizes.expect(pictures + layers + "0.mlp.fc1.weight", {vision.intermediate_size, vision.hidden_size});
  sizes.expect_layers(pictures + layers, vision.layers);
  sizes.expect("visual_projection.weight", {config.projection, vision.hidden_size});
  sizes.expect(texts + "embeddings.token_embedding.weight", {text.vocab_size, text.hidden_size});
  sizes.expect(texts + "embeddings.position_embedding.weight", {text.positions, text.hidden_size});
  sizes.expect(texts + layers + "0.mlp.fc1.weight", {text.intermediate_size, text.hidden_size});
  sizes.expect_layers(texts + layers, text.layers);
  sizes.expect("text_projection.weight", {config.projection, text.hidden_size});
  sizes.finish();
}

// position_ids are constant buffers of older files.
std::string clip_name(const std::string& name) {
  if (name == "text_model.embeddings.position_ids" || name == "vision_model.embeddings.position_ids")
    return {};
  return name;
}

}  // namespace

class Clip::Vision : public torch::nn::Module {
 public:
  explicit Vision(const ClipVisionConfig& config) {
    const auto width = config.hidden_size;
    auto embeddings = std::make_shared<torch::nn::Module>("embeddings");
    class_embedding_ =
        embeddings->register_parameter("class_embedding", at::empty({width}, parameter_options()));
    patches_ = embeddings->register_module("patch_embedding",
                                           std::make_shared<PatchEmbedding>(width, config.patch_size));
    positions_ = embeddings->register_module("position_embedding",
                                             std::make_shared<Embedding>(config.positions(), width));
    register_module("embeddings", embeddings);
    first_norm_ = register_module("pre_layrnorm", std::make_shared<LayerNorm>(width, config.norm_epsilon));
    auto encoder = std::make_shared<torch::nn::Module>("encoder");
    layers_ = encoder->register_module("layers", std::make_shared<List<ClipLayer>>());
    const ClipLayerOptions layer{.width = width,
                                 .heads = config.heads,
                                 .inner = config.intermediate_size,
                                 .norm_epsilon = config.norm_epsilon,
                                 .quick_gelu = config.quick_gelu};
    for (std::int64_t i = 0; i < config.layers; ++i) layers_->add(layer);
    register_module("encoder", encoder);
    last_norm_ = register_module("post_layernorm", std::make_shared<LayerNorm>(width, config.norm_epsilon));
  }

  // [N, 3, S, S] -> [N, width]: the class token behind the last layer and its norm.
  at::Tensor forward(const at::Tensor& pixels) const {
    const auto tokens =
        at::cat({class_embedding_.expand({pixels.size(0), 1, -1}), patches_->forward(pixels)}, 1);
    auto x = first_norm_->forward(tokens + positions_->weight);
    for (std::size_t i = 0; i + 1 < layers_->size(); ++i) x = (*layers_)[i].forward(x);
    return last_norm_->forward((*layers_)[layers_->size() - 1].forward_first(x).squeeze(1));
  }

 private:
  at::Tensor class_embedding_;
  std::shared_ptr<PatchEmbedding> patches_;
  std::shared_ptr<Embedding> positions_;
  std::shared_ptr<List<ClipLayer>> layers_;
  std::shared_ptr<LayerNorm> first_norm_, last_norm_;
};

Clip::Clip(const ClipConfig& config) : config_{config} {
  config_.text.projection = config.projection;
  vision_model_ = register_module("vision_model", std::make_shared<Vision>(config.vision));
  visual_projection_ = register_module(
      "visual_projection", std::make_shared<Linear>(config.vision.hidden_size, config.projection, false));
  text_ = std::make_shared<ClipText>(config_.text);
  for (const auto& part : text_->named_children()) register_module(part.key(), part.value());
  logit_scale_ = register_parameter("logit_scale", at::empty({}, parameter_options()));
}

Clip::~Clip() = default;

at::Tensor Clip::image_embeds(const at::Tensor& pixels) const {
  return visual_projection_->forward(vision_model_->forward(pixels));
}

at::Tensor Clip::text_embeds(const at::Tensor& ids) const {
  return text_->forward(ids).text_embeds;
}

at::Tensor Clip::logits_per_image(const at::Tensor& image_embeds, const at::Tensor& text_embeds) const {
  return at::matmul(of_length_one(image_embeds), of_length_one(text_embeds).t()) * logit_scale_.exp();
}

LoadedClip load_clip(const std::filesystem::path& folder, at::Device device, at::ScalarType dtype) {
  const auto config_file = folder / "config.json";
  ClipConfig config;
  WeightFiles files;
  std::vector<Problem> problems;
  const auto collect = [&](const auto& part) {
    try {
      part();
    } catch (const DataError& error) {
      problems.insert(problems.end(), error.problems().begin(), error.problems().end());
    }
  };
  collect([&] { config = read_clip_config(config_file); });
  collect([&] { files = open_weight_files(folder, "model"); });
  if (!problems.empty()) throw DataError(std::move(problems));
  check_sizes(files, config, config_file);
  LoadedClip loaded;
  loaded.network = build_as(dtype, [&] { return std::make_shared<Clip>(config); });
  freeze(*loaded.network);
  loaded.network->eval();
  load_weight_files(*loaded.network, files, clip_name);
  loaded.network->to(device);
  for (const auto& file : files.files) loaded.files.push_back(file.path());
  return loaded;
}

}  // namespace deda::models
