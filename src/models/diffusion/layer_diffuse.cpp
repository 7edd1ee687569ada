#include "models/diffusion/layer_diffuse.h"

#include <array>
#include <set>

#include "core/error.h"
#include "models/weights/tensor_file.h"
#include "models/weights/weights.h"

namespace deda::models {
namespace {

const std::string hooked = "hookers.layers.";

// Takes tensors out of a file by name and shape; keeps what is missing, misshapen or never asked for.
class Taker {
 public:
  explicit Taker(const std::filesystem::path& path) : file_{path} {}
  // -1 in `shape` fits any extent. Float32; undefined when there is a problem.
  at::Tensor take(const std::string& name, const std::vector<std::int64_t>& shape) {
    taken_.insert(name);
    if (!file_.contains(name)) {
      problems.push_back({"tensor " + name + " is missing", file_.path().string(), {}});
      return {};
    }
    const auto& view = file_.at(name);
    bool fits = view.shape.size() == shape.size();
    for (std::size_t i = 0; fits && i < shape.size(); ++i) fits = shape[i] < 0 || shape[i] == view.shape[i];
    if (!fits) {
      problems.push_back({"tensor " + name + " has shape " + shape_text(view.shape) + ", the network needs " +
                              shape_text(shape),
                          file_.path().string(),
                          {}});
      return {};
    }
    return to_tensor(view).to(at::kFloat);
  }
  void finish() {
    for (const auto& [name, view] : file_.tensors()) {
      if (taken_.count(name) == 0)
        problems.push_back({"tensor " + name + " " + shape_text(view.shape) + " is not part of the network",
                            file_.path().string(),
                            {}});
    }
    if (!problems.empty()) throw DataError(problems);
  }
  std::vector<Problem> problems;

 private:
  io::SafetensorsFile file_;
  std::set<std::string> taken_;
};

void add_to(at::Tensor weight, const at::Tensor& delta, double gain) {
  weight.copy_((weight.to(at::kFloat) + gain * delta.to(weight.device()).reshape(weight.sizes()))
                   .to(weight.scalar_type()));
}

struct Replacement {                                // of one attention
  at::Tensor q, k, v, out;                          // LoRA products
  at::Tensor norm_weight, norm_bias, matrix, bias;  // of the folded branch
};

at::Tensor product(Taker& taker, const std::string& prefix, const at::Tensor& weight) {
  const auto down = taker.take(prefix + ".0.down.weight", {-1, weight.size(1)});
  const auto rank = down.defined() ? down.size(0) : -1;
  const auto up = taker.take(prefix + ".0.up.weight", {weight.size(0), rank});
  return down.defined() && up.defined() ? up.mm(down) : at::Tensor{};
}

// Software of one frame: softmax over one element is 1, so that q and k drop out and o(v(i(x))) is linear.
void fold_branch(Taker& taker, const std::string& prefix, std::int64_t width, Replacement& to) {
  std::array<at::Tensor, 3> matrices, biases;  // i, v, o
  const std::array<std::string, 3> folded{"i", "v", "o"};
  for (std::size_t n = 0; n < folded.size(); ++n) {
    matrices[n] = taker.take(prefix + "temporal_" + folded[n] + ".weight", {width, width});
    biases[n] = taker.take(prefix + "temporal_" + folded[n] + ".bias", {width});
  }
  for (const std::string unused : {"q", "k"}) {
    taker.take(prefix + "temporal_" + unused + ".weight", {width, width});
    taker.take(prefix + "temporal_" + unused + ".bias", {width});
  }
  to.norm_weight = taker.take(prefix + "temporal_n.weight", {width});
  to.norm_bias = taker.take(prefix + "temporal_n.bias", {width});
  if (!taker.problems.empty()) return;
  to.matrix = matrices[2].mm(matrices[1]).mm(matrices[0]);
  to.bias = matrices[2].mv(matrices[1].mv(biases[0]) + biases[1]) + biases[2];
}

void replace_attention(UNet& network, const std::filesystem::path& path, double gain) {
  Taker taker(path);
  const auto sites = sites_in_layer_diffuse_order(network);
  std::vector<Replacement> replacements;
  for (std::size_t i = 0; i < 2 * sites.size(); ++i) {
    const auto& attention = UNet::projections(*sites[i / 2].module, static_cast<int>(i % 2) + 1);
    const auto prefix = hooked + std::to_string(i) + ".";
    Replacement replacement;
    replacement.q = product(taker, prefix + "to_q_lora", attention.to_q->weight);
    replacement.k = product(taker, prefix + "to_k_lora", attention.to_k->weight);
    replacement.v = product(taker, prefix + "to_v_lora", attention.to_v->weight);
    replacement.out = product(taker, prefix + "to_out_lora", (*attention.to_out)[0].weight);
    fold_branch(taker, prefix, attention.to_q->weight.size(0), replacement);
    replacements.push_back(std::move(replacement));
  }
  taker.finish();
  for (std::size_t i = 0; i < replacements.size(); ++i) {
    auto& block = *sites[i / 2].module;
    const int which = static_cast<int>(i % 2) + 1;
    auto& attention = UNet::projections(block, which);
    const auto& from = replacements[i];
    add_to(attention.to_q->weight, from.q, gain);
    add_to(attention.to_k->weight, from.k, gain);
    add_to(attention.to_v->weight, from.v, gain);
    add_to((*attention.to_out)[0].weight, from.out, gain);
    const auto& like = attention.to_q->weight;
    auto branch = build_as(like.scalar_type(), [&] { return UNet::add_transparency(block, which); });
    branch->to(like.device());
    branch->norm->weight.copy_(from.norm_weight);
    branch->norm->bias.copy_(from.norm_bias);
    branch->linear->weight.copy_(gain * from.matrix);
    branch->linear->bias.copy_(gain * from.bias);
  }
}

void add_offsets(UNet& network, const std::filesystem::path& path, double gain) {
  Taker taker(path);
  const io::SafetensorsFile file(path);
  const auto state = state_of(network);
  std::vector<std::pair<at::Tensor, std::string>> targets;
  for (const auto& [name, view] : file.tensors()) {
    const auto target = state.find(name);
    if (target == state.end()) continue;  // finish() names it
    taker.take(name, target->second.sizes().vec());
    targets.emplace_back(target->second, name);
  }
  taker.finish();
  for (auto& [target, name] : targets) add_to(target, to_tensor(file.at(name)).to(at::kFloat), gain);
}

void add_webui_lora(UNet& network, const std::filesystem::path& path, double gain) {
  Taker taker(path);
  const io::SafetensorsFile file(path);
  const auto state = state_of(network);
  std::vector<std::pair<at::Tensor, at::Tensor>> changes;
  const std::string prefix = "diffusion_model.";
  const std::string first = "::lora::0", second = "::lora::1";
  for (const auto& [name, view] : file.tensors()) {
    const auto at = name.find("::");
    if (at == std::string::npos || name.compare(at, std::string::npos, second) == 0) continue;
    auto base = name.substr(0, at);
    if (base.rfind(prefix, 0) == 0) base = base.substr(prefix.size());
    const auto target = state.find(diffusers_name_of_sdxl(base));
    if (target == state.end()) continue;
    const auto& weight = target->second;
    if (name.compare(at, std::string::npos, "::diff::0") == 0) {
      changes.emplace_back(weight, taker.take(name, weight.sizes().vec()));
      continue;
    }
    if (name.compare(at, std::string::npos, first) != 0) continue;
    // Ports disagree about which of the two is up: the shapes decide.
    auto a = taker.take(name, {-1, -1}), b = taker.take(name.substr(0, at) + second, {-1, -1});
    if (!a.defined() || !b.defined()) continue;
    if (a.size(0) != weight.size(0) || a.size(1) != b.size(0)) std::swap(a, b);
    if (a.size(0) != weight.size(0) || b.size(1) != weight.size(1) || a.size(1) != b.size(0)) {
      taker.problems.push_back(
          {"tensors " + name.substr(0, at) + "::lora do not multiply to " + shape_text(weight.sizes()),
           path.string(),
           {}});
      continue;
    }
    changes.emplace_back(weight, a.mm(b));
  }
  taker.finish();
  for (auto& [weight, delta] : changes) add_to(weight, delta, gain);
}

}  // namespace

std::vector<UNet::AttentionSite> sites_in_layer_diffuse_order(const UNet& network) {
  std::vector<UNet::AttentionSite> ordered;
  for (const std::string part : {"down_blocks.", "up_blocks.", "mid_block."}) {
    for (const auto& site : network.attention_sites()) {
      if (site.block.rfind(part, 0) == 0) ordered.push_back(site);
    }
  }
  return ordered;
}

LayerDiffuseKind layer_diffuse_kind(const std::filesystem::path& path) {
  const io::SafetensorsFile file(path);
  for (const auto& [name, view] : file.tensors()) {
    if (name.rfind(hooked, 0) == 0) return LayerDiffuseKind::attention_replacement;
    if (name.find("::") != std::string::npos) return LayerDiffuseKind::webui_lora;
    if (name.find("_blocks.") != std::string::npos || name.find("mid_block.") != std::string::npos)
      return LayerDiffuseKind::offsets;
  }
  throw DataError("is no LayerDiffuse file for a UNet", path.string(),
                  "Expected layer_sd15_transparent_attn, ld_diffusers_sdxl_attn or _conv, or "
                  "layer_xl_transparent_attn.");
}

LayerDiffuseKind apply_layer_diffuse(UNet& network, const std::filesystem::path& file, double gain) {
  torch::NoGradGuard no_gradients;
  const auto kind = layer_diffuse_kind(file);
  switch (kind) {
    case LayerDiffuseKind::attention_replacement:
      replace_attention(network, file, gain);
      break;
    case LayerDiffuseKind::offsets:
      add_offsets(network, file, gain);
      break;
    case LayerDiffuseKind::webui_lora:
      add_webui_lora(network, file, gain);
      break;
  }
  return kind;
}

std::string diffusers_name_of_sdxl(const std::string& name) {
  static const std::array<std::pair<const char*, const char*>, 11> places{
      {{"input_blocks.4.1.", "down_blocks.1.attentions.0."},
       {"input_blocks.5.1.", "down_blocks.1.attentions.1."},
       {"input_blocks.7.1.", "down_blocks.2.attentions.0."},
       {"input_blocks.8.1.", "down_blocks.2.attentions.1."},
       {"middle_block.1.", "mid_block.attentions.0."},
       {"output_blocks.0.1.", "up_blocks.0.attentions.0."},
       {"output_blocks.1.1.", "up_blocks.0.attentions.1."},
       {"output_blocks.2.1.", "up_blocks.0.attentions.2."},
       {"output_blocks.3.1.", "up_blocks.1.attentions.0."},
       {"output_blocks.4.1.", "up_blocks.1.attentions.1."},
       {"output_blocks.5.1.", "up_blocks.1.attentions.2."}}};
  for (const auto& [webui, diffusers] : places) {
    const std::string from = webui;
    if (name.rfind(from, 0) == 0) return diffusers + name.substr(from.size());
  }
  return name;
}

}  // namespace deda::models
