#include "models/weights/classifier_names.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <regex>
#include <set>
#include <utility>

#include "core/error.h"

namespace deda::models {
namespace {

bool begins(const std::string& name, const std::string& prefix) {
  return name.compare(0, prefix.size(), prefix) == 0;
}
bool has(const NamedTensors& tensors, const std::string& name) {
  return tensors.count(name) != 0;
}
bool has_prefix(const NamedTensors& tensors, const std::string& prefix) {
  const auto found = tensors.lower_bound(prefix);
  return found != tensors.end() && begins(found->first, prefix);
}
// How many numbers stand behind that prefix without a gap: of "layer1." 3, where "layer1.0." to "layer1.2."
// are there.
std::int64_t count_from(const NamedTensors& tensors, const std::string& prefix, std::int64_t first) {
  std::int64_t count = 0;
  while (has_prefix(tensors, prefix + std::to_string(first + count) + ".")) ++count;
  return count;
}

std::string resnet_title(const NamedTensors& tensors) {
  const std::int64_t convolutions = has(tensors, "layer1.0.conv3.weight") ? 3 : 2;
  std::int64_t blocks = 0;
  for (int stage = 1; stage <= 4; ++stage)
    blocks += count_from(tensors, "layer" + std::to_string(stage) + ".", 0);
  return "ResNet-" + std::to_string(convolutions * blocks + 2);
}

std::string densenet_title(const NamedTensors& tensors) {
  std::int64_t layers = 0;
  for (int block = 1; block <= 4; ++block)
    layers += count_from(tensors, "features.denseblock" + std::to_string(block) + ".denselayer", 1);
  return "DenseNet-" + std::to_string(2 * layers + 5);
}

std::string transformer_title(const at::Tensor& patches, std::int64_t layers) {
  const auto width = patches.size(0), patch = patches.size(patches.dim() - 1);
  struct Known {
    std::int64_t layers, width;
    const char* letter;
  };
  constexpr std::array<Known, 5> known{
      {{12, 192, "Ti"}, {12, 384, "S"}, {12, 768, "B"}, {24, 1024, "L"}, {32, 1280, "H"}}};
  for (const auto& each : known) {
    if (each.layers == layers && each.width == width)
      return std::string{"ViT-"} + each.letter + "/" + std::to_string(patch);
  }
  return "a Vision Transformer of " + std::to_string(layers) + " layers, width " + std::to_string(width) +
         " and patch " + std::to_string(patch);
}

constexpr const char* timm_patches = "patch_embed.proj.weight";
constexpr const char* hugging_patches = "embeddings.patch_embeddings.projection.weight";

// Every name without its first part, where all have the same one.
std::optional<NamedTensors> without_common_prefix(const NamedTensors& tensors, std::string& prefix) {
  if (tensors.empty()) return {};
  const auto& first = tensors.begin()->first;
  const auto dot = first.find('.');
  if (dot == std::string::npos) return {};
  prefix = first.substr(0, dot + 1);
  NamedTensors shorter;
  for (const auto& [name, tensor] : tensors) {
    if (!begins(name, prefix)) return {};
    shorter.emplace(name.substr(prefix.size()), tensor);
  }
  return shorter;
}

// Two tensors of a file that would have one name are an error: none of them may win silently.
void put(NamedTensors& tensors, const std::string& name, const at::Tensor& tensor, const std::string& where) {
  if (!tensors.emplace(name, tensor).second)
    throw DataError("holds two tensors that are both read as " + name, where);
}

// Old DenseNets (PyTorch of 2017): "denselayer1.norm.1.weight"; and a last layer called `linear`, as some
// training programs have it.
void rename_densenet(RenamedTensors& file, const std::string& where) {
  static const std::regex old_name{R"((.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*))"};
  NamedTensors renamed;
  std::size_t old_ones = 0;
  bool linear = false;
  for (auto& [name, tensor] : file.tensors) {
    std::smatch parts;
    if (std::regex_match(name, parts, old_name)) {
      ++old_ones;
      put(renamed, parts[1].str() + parts[2].str(), tensor, where);
    } else if (begins(name, "linear.") && !has_prefix(file.tensors, "classifier.")) {
      linear = true;
      put(renamed, "classifier." + name.substr(std::string{"linear."}.size()), tensor, where);
    } else {
      put(renamed, name, tensor, where);
    }
  }
  file.tensors = std::move(renamed);
  if (old_ones > 0)
    file.notes.push_back(std::to_string(old_ones) +
                         " tensors have the names of 2017 (norm.1, conv.2); they are read as norm1, conv2");
  if (linear) file.notes.emplace_back("the last layer is called `linear`; it is read as `classifier`");
}

void rename_old_transformer(RenamedTensors& file, const std::string& where) {
  NamedTensors renamed;
  std::size_t old_ones = 0;
  for (auto& [name, tensor] : file.tensors) {
    auto now = name;
    for (const auto& [old_part, part] :
         {std::pair<std::string, std::string>{".mlp.linear_1.", ".mlp.0."}, {".mlp.linear_2.", ".mlp.3."}}) {
      const auto at = now.find(old_part);
      if (at == std::string::npos) continue;
      now.replace(at, old_part.size(), part);
      ++old_ones;
    }
    put(renamed, now, tensor, where);
  }
  file.tensors = std::move(renamed);
  if (old_ones > 0)
    file.notes.push_back(
        std::to_string(old_ones) +
        " tensors have torchvision's older names (mlp.linear_1, mlp.linear_2); they are read "
        "as mlp.0 and mlp.3");
}

// A name with its beginning replaced: the first row whose left side it begins with.
using Beginnings = std::vector<std::pair<std::string, std::string>>;
std::string renamed_by(const Beginnings& beginnings, const std::string& name) {
  for (const auto& [from, to] : beginnings) {
    if (begins(name, from)) return to + name.substr(from.size());
  }
  return name;
}

constexpr const char* other_normalisation =
    "its publishers may have trained it on pictures normalised with mean and deviation 0.5; here ImageNet's "
    "are "
    "used";

void rename_timm(RenamedTensors& file, const std::string& where) {
  if (has_prefix(file.tensors, "pre_logits."))
    throw DataError("has a layer between features and head (pre_logits), which torchvision's network has not",
                    where, "Take a file without it (timm's from 2022 on have none).");
  static const Beginnings outside{{"cls_token", "class_token"},
                                  {"pos_embed", "encoder.pos_embedding"},
                                  {"patch_embed.proj.", "conv_proj."},
                                  {"norm.", "encoder.ln."},
                                  {"head.", "heads.head."}};
  static const Beginnings inside{{"norm1.", "ln_1."},
                                 {"norm2.", "ln_2."},
                                 {"attn.qkv.weight", "self_attention.in_proj_weight"},
                                 {"attn.qkv.bias", "self_attention.in_proj_bias"},
                                 {"attn.proj.", "self_attention.out_proj."},
                                 {"mlp.fc1.", "mlp.0."},
                                 {"mlp.fc2.", "mlp.3."}};
  static const std::regex block{R"(blocks\.(\d+)\.(.*))"};
  NamedTensors renamed;
  for (auto& [name, tensor] : file.tensors) {
    std::smatch parts;
    if (std::regex_match(name, parts, block)) {
      put(renamed,
          "encoder.layers.encoder_layer_" + parts[1].str() + "." + renamed_by(inside, parts[2].str()), tensor,
          where);
    } else {
      put(renamed, renamed_by(outside, name), tensor, where);
    }
  }
  file.tensors = std::move(renamed);
  file.notes.push_back(std::string{"holds "} + file.look.network +
                       " under timm's names; they are read as torchvision's, and " + other_normalisation);
}

void rename_transformers(RenamedTensors& file, const std::string& where) {
  static const Beginnings outside{{"embeddings.cls_token", "class_token"},
                                  {"embeddings.position_embeddings", "encoder.pos_embedding"},
                                  {"embeddings.patch_embeddings.projection.", "conv_proj."},
                                  {"layernorm.", "encoder.ln."},
                                  {"classifier.", "heads.head."}};
  static const Beginnings inside{{"layernorm_before.", "ln_1."},
                                 {"layernorm_after.", "ln_2."},
                                 {"attention.output.dense.", "self_attention.out_proj."},
                                 {"attention.o_proj.", "self_attention.out_proj."},
                                 {"intermediate.dense.", "mlp.0."},
                                 {"mlp.fc1.", "mlp.0."},
                                 {"output.dense.", "mlp.3."},
                                 {"mlp.fc2.", "mlp.3."}};
  // As its files have them, and as its modules are called from release 5 on.
  static const std::regex layer{R"((?:encoder\.layer|layers)\.(\d+)\.(.*))"};
  static const std::regex projection{
      R"(attention\.(?:attention\.)?(q|k|v)(?:uery|ey|alue|_proj)\.(weight|bias))"};
  constexpr std::array<const char*, 3> stacked{"q", "k", "v"};
  NamedTensors renamed;
  std::map<std::string, std::map<std::string, at::Tensor>>
      projections;  // by the name of the whole and of the part
  bool pooler = false;
  for (auto& [full_name, tensor] : file.tensors) {
    const auto name = begins(full_name, "vit.") ? full_name.substr(std::string{"vit."}.size()) : full_name;
    std::smatch parts, which;
    if (begins(name, "pooler.")) {
      pooler = true;
    } else if (std::regex_match(name, parts, layer)) {
      const auto to = "encoder.layers.encoder_layer_" + parts[1].str() + ".";
      const auto rest = parts[2].str();
      if (std::regex_match(rest, which, projection)) {
        projections[to + "self_attention.in_proj_" + which[2].str()][which[1].str()] = tensor;
      } else {
        put(renamed, to + renamed_by(inside, rest), tensor, where);
      }
    } else {
      put(renamed, renamed_by(outside, name), tensor, where);
    }
  }
  for (auto& [name, parts] : projections) {
    std::vector<at::Tensor> in_order;
    for (const auto* part : stacked) {
      const auto found = parts.find(part);
      if (found != parts.end()) in_order.push_back(found->second);
    }
    // Parts of unlike widths or types cannot become one; a missing one shows as a wrong shape.
    const bool alike = std::all_of(in_order.begin(), in_order.end(), [&](const at::Tensor& part) {
      return part.dim() >= 1 && part.sizes().slice(1) == in_order.front().sizes().slice(1) &&
             part.scalar_type() == in_order.front().scalar_type();
    });
    put(renamed, name, alike ? at::cat(in_order, 0) : in_order.front(), where);
  }
  file.tensors = std::move(renamed);
  file.notes.push_back(std::string{"holds "} + file.look.network +
                       " under transformers' names; they are read as torchvision's (query, key and value as "
                       "one tensor), norms add 1e-6 where transformers' add 1e-12, and " +
                       other_normalisation);
  if (pooler) file.notes.emplace_back("its pooler, which no classifier uses, is left out");
}

}  // namespace

ClassifierLook look_of(const NamedTensors& tensors) {
  if (has(tensors, "layer1.0.conv1.weight") && has_prefix(tensors, "layer4."))
    return {resnet_title(tensors), "torchvision"};
  if (has_prefix(tensors, "features.denseblock1.denselayer1."))
    return {densenet_title(tensors), has(tensors, "features.denseblock1.denselayer1.norm.1.weight")
                                         ? "PyTorch of 2017"
                                         : "torchvision"};
  const auto transformer = [&](const std::string& patches, const std::string& layers, const char* names) {
    const auto found = tensors.find(patches);
    if (found == tensors.end() || found->second.dim() != 4) return ClassifierLook{};
    const auto count = count_from(tensors, layers, 0);
    return count == 0 ? ClassifierLook{} : ClassifierLook{transformer_title(found->second, count), names};
  };
  const std::array<ClassifierLook, 6> looks{
      transformer("conv_proj.weight", "encoder.layers.encoder_layer_", "torchvision"),
      transformer(timm_patches, "blocks.", "timm"),
      transformer(std::string{"vit."} + hugging_patches, "vit.encoder.layer.", "transformers"),
      transformer(hugging_patches, "encoder.layer.", "transformers"),
      transformer(std::string{"vit."} + hugging_patches, "vit.layers.", "transformers"),
      transformer(hugging_patches, "layers.", "transformers")};
  for (const auto& look : looks) {
    if (!look.network.empty()) return look;
  }
  for (const std::string prefix : {"resnet.", ""}) {
    if (has(tensors, prefix + "embedder.embedder.convolution.weight")) return {"a ResNet", "transformers"};
  }
  return {};
}

RenamedTensors in_torchvisions_names(NamedTensors tensors, const std::string& where) {
  RenamedTensors file{std::move(tensors), {}, {}};
  if (has_prefix(file.tensors, "model.") && has_prefix(file.tensors, "momentum."))
    throw DataError("is a checkpoint of `deda train`, with momentum beside the weights", where,
                    "Name best.safetensors or last.safetensors of that run.");
  file.look = look_of(file.tensors);
  if (file.look.network.empty()) {
    std::string prefix;
    if (auto shorter = without_common_prefix(file.tensors, prefix)) {
      const auto look = look_of(*shorter);
      if (!look.network.empty()) {
        file.tensors = std::move(*shorter);
        file.look = look;
        file.notes.push_back("every name begins with `" + prefix + "`, which is taken off");
      }
    }
  }
  if (file.look.names == "transformers" && file.look.network == "a ResNet")
    throw DataError("holds a ResNet under transformers' names", where,
                    "Take torchvision's or timm's file of that network: both have the names that are read "
                    "here.");
  if (begins(file.look.network, "DenseNet-")) rename_densenet(file, where);
  if (file.look.names == "timm") rename_timm(file, where);
  if (file.look.names == "transformers") rename_transformers(file, where);
  if (file.look.names == "torchvision" && has(file.tensors, "conv_proj.weight"))
    rename_old_transformer(file, where);
  return file;
}

}  // namespace deda::models
