#include "models/diffusion/lora_file.h"

#include <ATen/ATen.h>

#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "core/error.h"
#include "core/files.h"
#include "models/weights/weights.h"

namespace deda::models {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr std::size_t most_listed = 20;

bool begins(const std::string& text, const std::string& head) {
  return text.rfind(head, 0) == 0;
}
bool ends(const std::string& text, const std::string& tail) {
  return text.size() >= tail.size() && text.compare(text.size() - tail.size(), tail.size(), tail) == 0;
}
std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

void throw_listed(std::vector<Problem> problems, const fs::path& path) {
  if (problems.empty()) return;
  if (problems.size() > most_listed) {
    const auto more = problems.size() - most_listed;
    problems.resize(most_listed);
    problems.push_back({"and " + std::to_string(more) + " more", path.string(), {}});
  }
  throw DataError(std::move(problems));
}

// --- Names
// ------------------------------------------------------------------------------------------------------

enum class Role : std::uint8_t { down, up, alpha };

struct Ending {
  const char* text;
  Role role;
};
constexpr std::array<Ending, 15> endings{{{".lora_A.weight", Role::down},
                                          {".lora_B.weight", Role::up},
                                          {".lora_A.default.weight", Role::down},
                                          {".lora_B.default.weight", Role::up},
                                          {".lora_down.weight", Role::down},
                                          {".lora_up.weight", Role::up},
                                          {".lora_linear_layer.down.weight", Role::down},
                                          {".lora_linear_layer.up.weight", Role::up},
                                          {".lora.down.weight", Role::down},
                                          {".lora.up.weight", Role::up},
                                          {"_lora.down.weight", Role::down},
                                          {"_lora.up.weight", Role::up},
                                          {":down", Role::down},
                                          {":up", Role::up},
                                          {".alpha", Role::alpha}}};
// Relatives of LoRA that are computed otherwise.
const std::array<std::pair<const char*, const char*>, 9> other_methods{
    {{"dora_scale", "DoRA"},
     {"lora_magnitude_vector", "DoRA"},
     {"hada_w", "LoHa"},
     {"lokr_w", "LoKr"},
     {"lora_mid", "LoRA with a Tucker core"},
     {"lora_embedding", "a LoRA of embeddings"},
     {"oft_", "OFT"},
     {"boft_", "BOFT"},
     {".diff", "a full difference"}}};

struct Place {
  std::string network, module;
  LoraNaming naming = LoraNaming::diffusers;
};

// diffusers' old names of attention layers to today's.
std::string current_module_name(std::string module, const std::string& network) {
  module = replaced(module, ".processor.", ".");
  if (network == "unet") return ends(module, ".to_out") ? module + ".0" : module;
  const std::array<std::pair<const char*, const char*>, 4> text_names{
      {{".to_q", ".q_proj"}, {".to_k", ".k_proj"}, {".to_v", ".v_proj"}, {".to_out", ".out_proj"}}};
  for (const auto& [old_name, name] : text_names) {
    if (ends(module, old_name))
      module = module.substr(0, module.size() - std::string(old_name).size()) + name;
  }
  return begins(module, "text_model.") || begins(module, "text_projection") ? module : "text_model." + module;
}

std::optional<Place> place_of(const std::string& stem) {
  const std::array<std::pair<const char*, const char*>, 4> kohya{{{"lora_unet_", "unet"},
                                                                  {"lora_te_", "text_encoder"},
                                                                  {"lora_te1_", "text_encoder"},
                                                                  {"lora_te2_", "text_encoder_2"}}};
  for (const auto& [prefix, network] : kohya) {
    if (begins(stem, prefix))
      return Place{network, stem.substr(std::string(prefix).size()), LoraNaming::kohya};
  }
  for (const std::string network : {"unet", "text_encoder_2", "text_encoder"}) {
    if (begins(stem, network + "."))
      return Place{network, current_module_name(stem.substr(network.size() + 1), network)};
    if (begins(stem, network + ":"))
      return Place{network, stem.substr(network.size() + 1), LoraNaming::by_index};
  }
  // diffusers' save_attn_procs, which names no network: it knows the UNet alone.
  for (const char* block : {"down_blocks.", "mid_block.", "up_blocks."}) {
    if (begins(stem, block)) return Place{"unet", current_module_name(stem, "unet")};
  }
  const std::string peft = "base_model.model.";
  if (!begins(stem, peft)) return std::nullopt;
  const auto module = stem.substr(peft.size());
  const std::string network = module.find("text_model.") != std::string::npos ? "text_encoder" : "unet";
  return Place{network, current_module_name(module, network)};
}

// --- Reading
// ----------------------------------------------------------------------------------------------------

// The alpha that diffusers and peft keep beside the tensors.
class Alphas {
 public:
  Alphas(const LoraFile& file, std::vector<Problem>& problems) {
    try {
      if (const auto found = file.metadata.find("lora_adapter_metadata"); found != file.metadata.end())
        of_diffusers_ = Json::parse(found->second);
      const auto beside = file.path.parent_path() / "adapter_config.json";
      const bool peft = !file.tensors.empty() && begins(file.tensors.begin()->first, "base_model.model.");
      if (peft && !fs::exists(beside))
        problems.push_back(
            {"lacks adapter_config.json beside it, which tells the scale", file.path.string(), {}});
      if (peft && fs::exists(beside)) of_peft_ = Json::parse(read_text(beside));
    } catch (const Json::exception& error) {
      problems.push_back(
          {"has settings that are no JSON: " + std::string{error.what()}, file.path.string(), {}});
    }
    if (flag(of_peft_, "use_dora"))
      problems.push_back(
          {"is DoRA, not a plain LoRA", file.path.string(), "Only plain LoRA files can be used."});
  }
  double of(const std::string& network, const std::string& module, double rank) const {
    if (of_peft_.is_object()) return from(of_peft_, "", module, rank);
    if (of_diffusers_.is_object()) return from(of_diffusers_, network + ".", module, rank);
    return rank;
  }

 private:
  static bool flag(const Json& json, const std::string& key) {
    return json.is_object() && json.contains(key) && json[key].is_boolean() && json[key].get<bool>();
  }
  static double from(const Json& json, const std::string& prefix, const std::string& module, double rank) {
    double alpha = rank;
    if (json.contains(prefix + "lora_alpha") && json[prefix + "lora_alpha"].is_number())
      alpha = json[prefix + "lora_alpha"].get<double>();
    if (json.contains(prefix + "alpha_pattern") && json[prefix + "alpha_pattern"].is_object()) {
      for (const auto& [tail, value] : json[prefix + "alpha_pattern"].items()) {
        if ((module == tail || ends(module, "." + tail)) && value.is_number()) alpha = value.get<double>();
      }
    }
    return flag(json, prefix + "use_rslora") ? alpha * std::sqrt(rank) : alpha;
  }
  Json of_diffusers_, of_peft_;
};

class Reader {
 public:
  explicit Reader(const fs::path& path) : file_{.path = path} {
    const io::SafetensorsFile opened(path);
    for (const auto& [name, view] : opened.tensors()) file_.tensors.emplace(name, to_tensor(view));
    file_.metadata = opened.metadata();
  }

  LoraFile read() {
    for (const auto& [name, tensor] : file_.tensors) sort_in(name, tensor);
    const Alphas alphas(file_, problems_);
    for (auto& [stem, parts] : parts_) finish(stem, parts, alphas);
    if (problems_.empty() && file_.modules.empty()) problem("holds no LoRA weights");
    throw_listed(std::move(problems_), file_.path);
    return std::move(file_);
  }

 private:
  struct Parts {
    at::Tensor down, up, alpha;
  };
  void problem(std::string what, std::string hint = {}) {
    problems_.push_back({std::move(what), file_.path.string(), std::move(hint)});
  }

  void sort_in(const std::string& name, const at::Tensor& tensor) {
    if (tensor.is_floating_point() && !at::isfinite(tensor).all().item<bool>())
      return problem("tensor " + name + " holds numbers that are infinite or not a number");
    for (const auto& [part, method] : other_methods) {
      if (name.find(part) != std::string::npos)
        return problem("tensor " + name + " is of " + method + ", not of a plain LoRA",
                       "Only plain LoRA files can be used.");
    }
    const auto says = file_.metadata.find(name);
    if (says != file_.metadata.end() && says->second == "<embed>") {
      file_.embeddings.emplace(name, tensor);
      return;
    }
    for (const auto& ending : endings) {
      if (!ends(name, ending.text)) continue;
      auto& parts = parts_[name.substr(0, name.size() - std::string(ending.text).size())];
      (ending.role == Role::down ? parts.down : ending.role == Role::up ? parts.up : parts.alpha) = tensor;
      return;
    }
    problem("tensor " + name + " " + shape_text(tensor.sizes()) + " is not part of a LoRA");
  }

  void finish(const std::string& stem, const Parts& parts, const Alphas& alphas) {
    const auto place = place_of(stem);
    if (!place) return problem("module " + stem + " is of no network that is known here");
    if (!parts.down.defined() || !parts.up.defined())
      return problem("module " + stem + " lacks its " + (parts.down.defined() ? "up" : "down") + " half");
    const auto &down = parts.down, &up = parts.up;
    const bool fits = down.dim() == up.dim() && (down.dim() == 2 || down.dim() == 4) && down.numel() > 0 &&
                      up.numel() > 0 && up.size(1) == down.size(0) && up[0].numel() == up.size(1) &&
                      down.is_floating_point() && up.is_floating_point();
    if (!fits)
      return problem("module " + stem + " has halves " + shape_text(down.sizes()) + " and " +
                     shape_text(up.sizes()) + ", which do not multiply");
    const auto rank = static_cast<double>(down.size(0));
    double alpha = alphas.of(place->network, place->module, rank);
    if (parts.alpha.defined()) {
      if (parts.alpha.numel() != 1)
        return problem("module " + stem + " has an alpha that is no single number");
      alpha = parts.alpha.to(at::kDouble).item<double>();
    }
    file_.naming = place->naming;
    file_.modules.push_back({place->network, place->module, down, up, alpha});
  }

  LoraFile file_;
  std::map<std::string, Parts> parts_;
  std::vector<Problem> problems_;
};

// --- Merging
// ----------------------------------------------------------------------------------------------------

// Modules of a network with a matrix or kernel, by diffusers' name.
std::vector<std::string> modules_of(const NamedTensors& state) {
  const std::string tail = ".weight";
  std::vector<std::string> modules;
  for (const auto& [name, tensor] : state) {
    if (ends(name, tail) && tensor.dim() >= 2) modules.push_back(name.substr(0, name.size() - tail.size()));
  }
  return modules;
}

// cloneofsimo's order: that in which torch lists the attention and GEGLU layers of a UNet (the mid block
// last, feed-forward between the two attentions) and the attention layers of a text encoder.
std::vector<std::string> indexed_modules(const UNet& unet) {
  std::vector<std::string> modules;
  for (const std::string part : {"down_blocks.", "up_blocks.", "mid_block."}) {
    for (const auto& site : unet.attention_sites()) {
      if (!begins(site.block, part)) continue;
      for (const char* layer : {"attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0", "ff.net.0.proj",
                                "attn2.to_q", "attn2.to_k", "attn2.to_v", "attn2.to_out.0"})
        modules.push_back(site.block + "." + layer);
    }
  }
  return modules;
}
std::vector<std::string> indexed_modules(const ClipText& text) {
  std::vector<std::string> modules;
  for (std::int64_t i = 0; i < text.config().layers; ++i) {
    for (const char* layer : {"k_proj", "v_proj", "q_proj", "out_proj"})
      modules.push_back("text_model.encoder.layers." + std::to_string(i) + ".self_attn." + layer);
  }
  return modules;
}

// A network and the words that files have for its modules.
struct Target {
  NamedTensors state;
  std::map<std::string, std::string> names;  // in the file's words -> diffusers'
};

Target target_of(const torch::nn::Module& network, LoraNaming naming, const std::vector<std::string>& indexed,
                 const UNetConfig* unet) {
  Target target;
  target.state = state_of(network);
  if (naming == LoraNaming::by_index) {
    for (std::size_t i = 0; i < indexed.size(); ++i) target.names.emplace(std::to_string(i), indexed[i]);
    return target;
  }
  for (const auto& module : modules_of(target.state)) {
    target.names.emplace(naming == LoraNaming::kohya ? replaced(module, ".", "_") : module, module);
    if (naming == LoraNaming::kohya && unet != nullptr)
      target.names.emplace(replaced(original_name_of(*unet, module), ".", "_"), module);
  }
  return target;
}

}  // namespace

LoraFile read_lora(const fs::path& path) {
  return Reader(path).read();
}

void write_lora(const fs::path& path, const LoraFile& file) {
  write_tensors(path, file.tensors, file.metadata);
}

LoraCounts apply_lora(const LoraTargets& networks, const LoraFile& file, double scale) {
  torch::NoGradGuard no_gradients;
  std::map<std::string, Target> targets;
  if (networks.unet != nullptr)
    targets["unet"] =
        target_of(*networks.unet, file.naming, indexed_modules(*networks.unet), &networks.unet->config());
  for (std::size_t i = 0; i < networks.text_encoders.size(); ++i) {
    const auto& text = *networks.text_encoders[i];
    targets[i == 0 ? "text_encoder" : "text_encoder_" + std::to_string(i + 1)] =
        target_of(text, file.naming, indexed_modules(text), nullptr);
  }
  std::vector<Problem> problems;
  std::vector<std::pair<at::Tensor, const LoraModule*>> changes;
  std::set<std::string> changed;
  LoraCounts counts;
  const auto problem = [&](const LoraModule& module, const std::string& what) {
    problems.push_back({module.network + " module " + module.name + " " + what, file.path.string(),
                        "The file is of another model."});
  };
  for (const auto& module : file.modules) {
    const auto target = targets.find(module.network);
    if (target == targets.end()) {
      problem(module, "is there, but the model has no such network");
      continue;
    }
    const auto name = target->second.names.find(module.name);
    if (name == target->second.names.end()) {
      problem(module, "is not part of the network");
      continue;
    }
    const auto& weight = target->second.state.at(name->second + ".weight");
    if (weight.size(0) != module.up.size(0) || weight[0].numel() != module.down[0].numel()) {
      problem(module, "changes a matrix [" + std::to_string(module.up.size(0)) + ", " +
                          std::to_string(module.down[0].numel()) + "], the network's is " +
                          shape_text(weight.sizes()));
      continue;
    }
    if (!changed.insert(module.network + "." + name->second).second) problem(module, "is there twice");
    changes.emplace_back(weight, &module);
    ++(module.network == "unet" ? counts.unet : counts.text_encoders);
  }
  throw_listed(std::move(problems), file.path);
  for (auto& [weight, module] : changes) {
    const auto device = weight.device();
    const auto up = module->up.to(device, at::kFloat).flatten(1),
               down = module->down.to(device, at::kFloat).flatten(1);
    const double factor = scale * module->alpha / static_cast<double>(module->down.size(0));
    weight.copy_(weight.to(at::kFloat) + factor * up.mm(down).view(weight.sizes()));
  }
  return counts;
}

std::string original_name_of(const UNetConfig& config, const std::string& module) {
  static const std::map<std::string, std::string> outside{{"conv_in", "input_blocks.0.0"},
                                                          {"time_embedding.linear_1", "time_embed.0"},
                                                          {"time_embedding.linear_2", "time_embed.2"},
                                                          {"add_embedding.linear_1", "label_emb.0.0"},
                                                          {"add_embedding.linear_2", "label_emb.0.2"},
                                                          {"conv_out", "out.2"}};
  static const std::map<std::string, std::string> in_resnet{{"conv1", "in_layers.2"},
                                                            {"time_emb_proj", "emb_layers.1"},
                                                            {"conv2", "out_layers.3"},
                                                            {"conv_shortcut", "skip_connection"}};
  if (const auto found = outside.find(module); found != outside.end()) return found->second;
  // PART.BLOCK.KIND.INDEX.REST; the mid block has no BLOCK.
  std::vector<std::string> words;
  for (std::size_t at = 0; at < module.size();) {
    const auto end = std::min(module.find('.', at), module.size());
    words.push_back(module.substr(at, end - at));
    at = end + 1;
  }
  const bool middle = words[0] == "mid_block";
  const std::size_t kind_at = middle ? 1 : 2;
  if (words.size() < kind_at + 3) return module;
  const auto& kind = words[kind_at];
  const auto block = middle ? 0 : std::stoll(words[1]), index = std::stoll(words[kind_at + 1]);
  std::string rest;
  for (std::size_t i = kind_at + 2; i < words.size(); ++i) rest += (rest.empty() ? "" : ".") + words[i];
  if (const auto found = in_resnet.find(rest); kind == "resnets" && found != in_resnet.end())
    rest = found->second;
  const auto layers = config.layers_per_block;
  if (middle) return "middle_block." + std::to_string(kind == "attentions" ? 1 : 2 * index) + "." + rest;
  if (words[0] == "down_blocks") {
    if (kind == "downsamplers") return "input_blocks." + std::to_string((block + 1) * (layers + 1)) + ".0.op";
    return "input_blocks." + std::to_string(1 + block * (layers + 1) + index) +
           (kind == "attentions" ? ".1." : ".0.") + rest;
  }
  const auto first = block * (layers + 1);
  if (kind == "upsamplers")
    return "output_blocks." + std::to_string(first + layers) +
           (config.up_attention[static_cast<std::size_t>(block)] ? ".2." : ".1.") + rest;
  return "output_blocks." + std::to_string(first + index) + (kind == "attentions" ? ".1." : ".0.") + rest;
}

}  // namespace deda::models
