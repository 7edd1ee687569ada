#include "models/diffusion/lora_layers.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/hash.h"
#include "core/random.h"

namespace deda::models {
namespace {

// The projections of an attention: how modules and the processors of old diffusers call them.
struct Projection {
  const char* module;
  const char* processor;
  std::shared_ptr<Linear> (*linear)(const AttentionProjections&);
  LowRankBranch& (*branch)(AttentionProjections&);
};
constexpr std::array<Projection, 4> projections{
    {{"to_q", "to_q_lora", [](const AttentionProjections& a) { return a.to_q; },
      [](AttentionProjections& a) -> LowRankBranch& { return a.beside_q; }},
     {"to_k", "to_k_lora", [](const AttentionProjections& a) { return a.to_k; },
      [](AttentionProjections& a) -> LowRankBranch& { return a.beside_k; }},
     {"to_v", "to_v_lora", [](const AttentionProjections& a) { return a.to_v; },
      [](AttentionProjections& a) -> LowRankBranch& { return a.beside_v; }},
     {"to_out.0", "to_out_lora", [](const AttentionProjections& a) { return *a.to_out->begin(); },
      [](AttentionProjections& a) -> LowRankBranch& { return a.beside_out; }}}};

RandomStream stream_of(std::uint64_t seed, const std::string& name) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(name.data());
  return {seed, Purpose::initial_weights, 0, xxhash64({bytes, name.size()})};
}

at::Tensor drawn(at::IntArrayRef shape, double deviation, RandomStream stream) {
  auto values = at::empty(shape, at::kFloat);
  auto* data = values.data_ptr<float>();
  for (std::int64_t i = 0; i < values.numel(); ++i) data[i] = static_cast<float>(deviation * stream.normal());
  return values;
}

}  // namespace

struct LoraLayers::Site {
  AttentionProjections* attention = nullptr;
  const Projection* projection = nullptr;
  std::string attention_name;  // "down_blocks.0.attentions.0.transformer_blocks.0.attn1"
  std::int64_t in = 0, out = 0;

  std::string module() const { return attention_name + "." + projection->module; }
  std::string old_name(const char* half) const {
    return attention_name + ".processor." + projection->processor + "." + half + ".weight";
  }
  LowRankBranch& branch() const { return projection->branch(*attention); }
};

std::vector<LoraLayers::Site> LoraLayers::sites_of(const UNet& unet) {
  auto blocks = unet.attention_sites();
  std::sort(blocks.begin(), blocks.end(), [](const auto& a, const auto& b) { return a.block < b.block; });
  std::vector<Site> sites;
  for (const auto& block : blocks) {
    for (const int which : {1, 2}) {
      auto& attention = UNet::projections(*block.module, which);
      for (const auto& projection : projections) {
        const auto& weight = projection.linear(attention)->weight;
        sites.push_back({&attention, &projection, fmt::format("{}.attn{}", block.block, which),
                         weight.size(1), weight.size(0)});
      }
    }
  }
  return sites;
}

// values_ is filled; every site gets its two views of it.
void LoraLayers::attach(const std::vector<Site>& sites) {
  std::int64_t first = 0;
  const auto next = [&](std::int64_t rows, std::int64_t columns) {
    // Detached views: leaves of their own that share the numbers.
    auto view = values_.narrow(0, first, rows * columns).view({rows, columns}).detach();
    view.requires_grad_(true);
    first += rows * columns;
    return view;
  };
  for (const auto& site : sites) {
    auto& branch = site.branch();
    if (branch.up.defined()) throw ModelError("the UNet has LoRA layers already", site.module());
    branch = {next(rank_, site.in), next(site.out, rank_), alpha_ / static_cast<double>(rank_)};
    matrices_.push_back({site.old_name("down"), branch.down});
    matrices_.push_back({site.old_name("up"), branch.up});
  }
}

LoraLayers::LoraLayers(UNet& unet, const LoraOptions& options)
    : unet_{unet},
      rank_{options.rank},
      alpha_{options.alpha == 0 ? static_cast<double>(options.rank) : options.alpha} {
  if (rank_ < 1) throw ConfigError(fmt::format("{} is no rank of a LoRA", rank_), "rank", "At least 1.");
  if (!std::isfinite(alpha_) || alpha_ < 0)
    throw ConfigError(fmt::format("{} is no alpha of a LoRA", alpha_), "alpha", "0 takes the rank.");
  const auto sites = sites_of(unet);
  std::vector<at::Tensor> parts;
  for (const auto& site : sites) {
    const auto deviation = 1.0 / static_cast<double>(rank_);
    parts.push_back(
        drawn({rank_, site.in}, deviation, stream_of(options.seed, site.old_name("down"))).flatten());
    parts.push_back(at::zeros({site.out * rank_}));
  }
  const auto device = unet.parameters().front().device();
  values_ = parts.empty() ? at::zeros({0}).to(device) : at::cat(parts).to(device);
  attach(sites);
}

LoraLayers::LoraLayers(UNet& unet, const LoraFile& file) : unet_{unet} {
  const auto sites = sites_of(unet);
  std::map<std::string, const LoraModule*> found;
  std::vector<Problem> problems;
  const auto problem = [&](const std::string& what) {
    problems.push_back({what, file.path.string(), "The file is of another model or of another program."});
  };
  if (file.naming != LoraNaming::diffusers) problem("is not named as diffusers names LoRA");
  for (const auto& module : file.modules) {
    if (module.network != "unet") {
      problem(fmt::format("changes {} of the {}, which is not tuned here", module.name, module.network));
    } else if (!found.emplace(module.name, &module).second) {
      problem(fmt::format("changes {} twice", module.name));
    }
  }
  std::vector<at::Tensor> parts;
  for (const auto& site : sites) {
    const auto entry = found.find(site.module());
    if (entry == found.end()) {
      problem("lacks " + site.module());
      continue;
    }
    const auto& module = *entry->second;
    found.erase(entry);
    if (rank_ == 0) {
      rank_ = module.down.size(0);
      alpha_ = module.alpha;
    }
    const std::vector<std::int64_t> down_shape{rank_, site.in}, up_shape{site.out, rank_};
    if (module.down.sizes() != down_shape || module.up.sizes() != up_shape) {
      problem(fmt::format("{} has matrices {} and {}, here they are {} and {}", site.module(),
                          shape_text(module.down.sizes()), shape_text(module.up.sizes()),
                          shape_text(down_shape), shape_text(up_shape)));
    } else if (module.alpha != alpha_) {
      problem(fmt::format("{} has alpha {}, others {}", site.module(), module.alpha, alpha_));
    }
    parts.push_back(module.down.to(at::kFloat).flatten());
    parts.push_back(module.up.to(at::kFloat).flatten());
  }
  for (const auto& [name, module] : found)
    problem("changes " + name + ", which is no attention projection of this UNet");
  if (!problems.empty()) {
    constexpr std::size_t most_listed = 20;
    if (problems.size() > most_listed) {
      const auto more = problems.size() - most_listed;
      problems.resize(most_listed);
      problem(fmt::format("and {} more", more));
    }
    throw DataError(std::move(problems));
  }
  const auto device = unet.parameters().front().device();
  values_ = parts.empty() ? at::zeros({0}).to(device) : at::cat(parts).to(device);
  attach(sites);
}

LoraLayers::~LoraLayers() {
  for (const auto& site : sites_of(unet_)) site.branch() = {};
}

std::vector<at::Tensor> LoraLayers::parameters() const {
  std::vector<at::Tensor> all;
  for (const auto& matrix : matrices_) all.push_back(matrix.value);
  return all;
}

LoraFile LoraLayers::file(LoraFileNames names) const {
  LoraFile file;
  const auto factor = alpha_ / static_cast<double>(rank_);
  const bool old_names = names == LoraFileNames::processors;
  for (const auto& site : sites_of(unet_)) {
    const auto& branch = site.branch();
    const auto copy = [](const at::Tensor& x) {
      return x.detach().to(at::kCPU, at::kFloat, /*non_blocking=*/false, /*copy=*/true);
    };
    LoraModule module{"unet", site.module(), copy(branch.down), copy(branch.up), alpha_};
    if (old_names) {
      if (factor != 1) module.up.mul_(factor);
      module.alpha = static_cast<double>(rank_);
    }
    const std::string stem = "unet.";
    file.tensors.emplace(stem + (old_names ? site.old_name("down") : site.module() + ".lora_A.weight"),
                         module.down);
    file.tensors.emplace(stem + (old_names ? site.old_name("up") : site.module() + ".lora_B.weight"),
                         module.up);
    file.modules.push_back(std::move(module));
  }
  file.metadata = {{"format", "pt"}};
  if (!old_names) {
    nlohmann::ordered_json targets = nlohmann::ordered_json::array();
    for (const auto& projection : projections) targets.push_back(projection.module);
    file.metadata["lora_adapter_metadata"] = nlohmann::ordered_json{
        {"unet.r", rank_},
        {"unet.lora_alpha", alpha_},
        {"unet.target_modules", targets}}.dump();
  }
  return file;
}

}  // namespace deda::models
