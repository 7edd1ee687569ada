#include "models/sam/sam.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "models/sam/image_encoder.h"
#include "models/sam/processing.h"
#include "models/sam/tiny_vit.h"

namespace deda::models {
namespace {

namespace fs = std::filesystem;

constexpr const char* positions_name = "shared_image_embedding.positional_embedding";
constexpr const char* positions_twin = "prompt_encoder.shared_embedding.positional_embedding";

bool starts_with(const std::string& text, const std::string& start) {
  return text.rfind(start, 0) == 0;
}
bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// The first occurrence of `from` by `to`, if there is one.
bool replace(std::string& text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  if (at != std::string::npos) text.replace(at, from.size(), to);
  return at != std::string::npos;
}

struct Replacement {
  const char* from;
  const char* to;
};
// At most one of each group applies to a name.
constexpr std::array<Replacement, 4> necks{{{"neck.0.", "neck.conv1."},
                                            {"neck.1.", "neck.layer_norm1."},
                                            {"neck.2.", "neck.conv2."},
                                            {"neck.3.", "neck.layer_norm2."}}};
constexpr std::array<Replacement, 4> vit_parts{{{"patch_embed.proj.", "patch_embed.projection."},
                                                {"blocks.", "layers."},
                                                {".norm1.", ".layer_norm1."},
                                                {".norm2.", ".layer_norm2."}}};
constexpr std::array<Replacement, 7> prompt_parts{{{"pe_layer.positional_encoding_gaussian_matrix", ""},
                                                   {"point_embeddings.", "point_embed."},
                                                   {"mask_downscaling.0.", "mask_embed.conv1."},
                                                   {"mask_downscaling.1.", "mask_embed.layer_norm1."},
                                                   {"mask_downscaling.3.", "mask_embed.conv2."},
                                                   {"mask_downscaling.4.", "mask_embed.layer_norm2."},
                                                   {"mask_downscaling.6.", "mask_embed.conv3."}}};
constexpr std::array<Replacement, 8> decoder_parts{{{".norm1.", ".layer_norm1."},
                                                    {".norm2.", ".layer_norm2."},
                                                    {".norm3.", ".layer_norm3."},
                                                    {".norm4.", ".layer_norm4."},
                                                    {".norm_final_attn.", ".layer_norm_final_attn."},
                                                    {"output_upscaling.0.", "upscale_conv1."},
                                                    {"output_upscaling.1.", "upscale_layer_norm."},
                                                    {"output_upscaling.3.", "upscale_conv2."}}};

template <std::size_t n>
void replace_all(std::string& name, const std::array<Replacement, n>& group) {
  for (const auto& each : group) replace(name, each.from, each.to);
}

// HEAD.layers.0, 1, ..., depth - 1 are proj_in, layers.0, ..., proj_out.
void name_feed_forward(std::string& name, const std::string& head, std::int64_t depth) {
  const auto start = name.find(head);
  if (start == std::string::npos) return;
  const auto layers = name.find(".layers.", start);
  if (layers == std::string::npos) return;
  const auto number = layers + std::strlen(".layers.");
  const auto dot = name.find('.', number);
  const auto digits = name.substr(number, dot - number);
  if (dot == std::string::npos || digits.empty() || digits.size() > 3 ||
      digits.find_first_not_of("0123456789") != std::string::npos)
    return;
  const auto layer = std::stoll(digits);
  const auto part = layer == 0           ? ".proj_in"
                    : layer == depth - 1 ? ".proj_out"
                                         : ".layers." + std::to_string(layer - 1);
  name = name.substr(0, layers) + part + name.substr(dot);
}

std::string from_original(std::string name, const SamConfig& config) {
  if (name == "pixel_mean" || name == "pixel_std") return {};
  if (starts_with(name, "image_encoder.")) {
    name.replace(0, std::strlen("image_encoder"), "vision_encoder");
    replace_all(name, necks);
    if (!config.mobile) {
      replace_all(name, vit_parts);
    } else if (starts_with(name, "vision_encoder.norm_head.") || starts_with(name, "vision_encoder.head.") ||
               ends_with(name, ".num_batches_tracked") || ends_with(name, ".attention_bias_idxs")) {
      return {};
    }
  } else if (starts_with(name, "prompt_encoder.")) {
    if (ends_with(name, prompt_parts[0].from)) return positions_name;
    replace_all(name, prompt_parts);
  } else if (starts_with(name, "mask_decoder.")) {
    replace_all(name, decoder_parts);
    constexpr std::int64_t hypernetwork_depth = 3;
    name_feed_forward(name, "output_hypernetworks_mlps.", hypernetwork_depth);
    name_feed_forward(name, "iou_prediction_head", config.decoder.iou_head_depth);
  }
  return name;
}

const io::TensorView* find_tensor(const WeightFiles& files, const std::string& name) {
  for (const auto& file : files.files) {
    if (file.contains(name)) return &file.at(name);
  }
  return nullptr;
}

bool is_pickle(const fs::path& path) {
  const auto extension = path.extension();
  return extension == ".pt" || extension == ".pth" || extension == ".bin";
}

[[noreturn]] void refuse_pickle(const fs::path& path) {
  throw DataError(
      "is a pickled file, which is never read", path.string(),
      "Convert it once: python3 -c \"import sys, torch; from safetensors.torch import save_file; "
      "save_file({k: v.contiguous() for k, v in torch.load(sys.argv[1], weights_only=True).items()}, "
      "sys.argv[2])\" " +
          path.filename().string() + " " + path.stem().string() + ".safetensors");
}

// The only .safetensors file of a folder that has no model.safetensors.
fs::path weights_in(const fs::path& folder_or_file) {
  if (!fs::is_directory(folder_or_file) && is_pickle(folder_or_file)) refuse_pickle(folder_or_file);
  if (!fs::is_directory(folder_or_file) || fs::exists(folder_or_file / "model.safetensors") ||
      fs::exists(folder_or_file / "model.safetensors.index.json"))
    return folder_or_file;
  std::vector<fs::path> found, pickles;
  for (const auto& entry : fs::directory_iterator(folder_or_file)) {
    if (entry.path().extension() == ".safetensors") found.push_back(entry.path());
    if (is_pickle(entry.path())) pickles.push_back(entry.path());
  }
  if (found.empty() && pickles.size() == 1) refuse_pickle(pickles.front());
  return found.size() == 1 ? found.front() : folder_or_file;
}

SamConfig config_for(const fs::path& folder_or_file, const WeightFiles& files) {
  const auto names = sam_names(files);
  if (names.mobile) return sam_config_of(files, read_sam_preprocessing(folder_or_file).image_size);
  const auto file = folder_or_file / "config.json";
  return fs::is_directory(folder_or_file) && fs::exists(file) ? read_sam_config(file) : sam_config_of(files);
}

}  // namespace

Sam::Sam(const SamConfig& config) : config_{config} {
  positions_ =
      register_module("shared_image_embedding", std::make_shared<SamPositions>(config.prompt.hidden_size));
  std::shared_ptr<SamEncoder> encoder;
  if (config.mobile)
    encoder = std::make_shared<TinyVit>(*config.mobile);
  else
    encoder = std::make_shared<SamImageEncoder>(config.vision);
  vision_encoder_ = register_module("vision_encoder", encoder);
  prompt_encoder_ = register_module("prompt_encoder", std::make_shared<SamPromptEncoder>(config.prompt));
  mask_decoder_ = register_module("mask_decoder", std::make_shared<SamMaskDecoder>(config.decoder));
}

void Sam::finish_loading() {
  if (auto* mobile = dynamic_cast<TinyVit*>(vision_encoder_.get())) mobile->fold();
}

Sam::Output Sam::segment(const at::Tensor& embeddings, const SamPrompts& prompts, bool multimask) const {
  const auto dense = embeddings + prompt_encoder_->dense(prompts.masks);
  const auto tokens = prompt_encoder_->tokens(prompts, *positions_);
  const auto grid = positions_->of_grid(config_.grid());
  std::vector<at::Tensor> masks, scores;
  for (std::int64_t picture = 0; picture < dense.size(0); ++picture) {
    const auto result = mask_decoder_->forward(dense.slice(0, picture, picture + 1), grid,
                                               tokens.defined() ? tokens[picture] : at::Tensor(), multimask);
    masks.push_back(result.logits);
    scores.push_back(result.iou_scores);
  }
  return {at::stack(masks), at::stack(scores)};
}

Rename sam_rename(const WeightFiles& files, const SamConfig& config) {
  const bool original = sam_names(files).original;
  const auto* first = find_tensor(files, positions_name);
  const auto* second = find_tensor(files, positions_twin);
  if (first != nullptr && second != nullptr &&
      (first->dtype != second->dtype || first->shape != second->shape ||
       !std::equal(first->bytes.begin(), first->bytes.end(), second->bytes.begin(), second->bytes.end())))
    throw DataError(std::string{"tensors "} + positions_name + " and " + positions_twin +
                        " must be one and the same, but differ",
                    files.where);
  const bool both = first != nullptr && second != nullptr;
  return [original, both, config](const std::string& name) -> std::string {
    if (original) return from_original(name, config);
    if (name == positions_twin) return both ? std::string{} : std::string{positions_name};
    return name;
  };
}

LoadedSam load_sam(const fs::path& folder_or_file, at::Device device, at::ScalarType dtype) {
  const auto files = open_weight_files(weights_in(folder_or_file), "model");
  const auto config = config_for(folder_or_file, files);
  // Batch norms are folded in float32, so that half precision rounds once.
  const auto loading = config.mobile ? at::promoteTypes(dtype, at::kFloat) : dtype;
  LoadedSam loaded;
  loaded.network = build_as(loading, [&] { return std::make_shared<Sam>(config); });
  freeze(*loaded.network);
  loaded.network->eval();
  load_weight_files(*loaded.network, files, sam_rename(files, config));
  loaded.network->finish_loading();
  if (dtype != loading) convert_weights(*loaded.network, dtype, files.where);
  loaded.network->to(device);
  for (const auto& file : files.files) loaded.files.push_back(file.path());
  return loaded;
}

}  // namespace deda::models
