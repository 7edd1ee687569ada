#include "jobs/doctor_models.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "core/files.h"
#include "core/sha256.h"
#include "diffusion/model_files.h"
#include "io/formats/safetensors.h"

namespace deda::jobs {
namespace {

namespace fs = std::filesystem;

constexpr double giga = 1e9, mega = 1e6;
constexpr std::uint64_t most_summed_bytes = 1ull << 30;

// Published sizes (reference: the model folders' own files).
struct Published {
  std::int64_t parameters;
  const char* name;
};
constexpr std::array<Published, 7> published{{{859'520'964, "Stable Diffusion 1.5's UNet"},
                                              {2'567'463'684, "SDXL's UNet"},
                                              {83'653'863, "Stable Diffusion's autoencoder"},
                                              {123'060'480, "CLIP-L's text encoder"},
                                              {694'659'840, "OpenCLIP bigG's text encoder"},
                                              {1'181'764, "LayerDiffuse's transparent encoder"},
                                              {104'104'804, "LayerDiffuse's transparent decoder"}}};

enum class Family { sd15, sdxl, other };
const char* name_of(Family family) {
  return family == Family::sd15 ? "Stable Diffusion 1.5" : family == Family::sdxl ? "SDXL" : "another model";
}

// Transparent networks have the same shapes for both families; their sums tell them apart.
struct PublishedSum {
  const char* begin;
  Family family;
  const char* file;
};
constexpr std::array<PublishedSum, 3> sums{{{"6df4712d", Family::sd15, "layer_sd15_vae_transparent_decoder"},
                                            {"47d048bd", Family::sdxl, "vae_transparent_encoder"},
                                            {"59dc8fee", Family::sdxl, "vae_transparent_decoder"}}};

// How the tensors of LayerDiffuse's two networks begin.
constexpr auto encoder_names = "blocks.", decoder_names = "down_blocks.";

struct Weights {
  std::int64_t parameters = 0;
  std::uint64_t bytes = 0;
  std::set<std::string> types, names;
  std::size_t files = 0;
};

void add_file(const fs::path& path, Weights& weights) {
  const io::SafetensorsFile file(path);
  for (const auto& [name, view] : file.tensors()) {
    weights.names.insert(name);
    if (name.find("position_ids") != std::string::npos) continue;
    std::int64_t count = 1;
    for (const auto extent : view.shape) count *= extent;
    weights.parameters += count;
    weights.types.insert(std::string{io::name_of(view.dtype)});
  }
  weights.bytes += fs::file_size(path);
  ++weights.files;
}

class Examination {
 public:
  Examination(const diffusion::ModelsConfig& config, std::int64_t resolution)
      : config_{config}, resolution_{resolution} {}

  ModelsFinding run() {
    const auto& base = config_.base;
    if (!fs::is_directory(base)) {
      problem("models.base", "there is no model folder", base.string(),
              "configs/models/README.md names the repositories, files and commands.");
      return std::move(finding_);
    }
    const bool two_texts = fs::exists(base / "text_encoder_2") || fs::exists(base / "tokenizer_2");
    line("models.base",
         fmt::format("{}: {} layout", base.string(), two_texts ? "SDXL's" : "Stable Diffusion 1.5's"));
    unet_ = part("unet", "diffusion_pytorch_model");
    vae_ = part("vae", "diffusion_pytorch_model");
    texts_.push_back(part("text_encoder", "model"));
    if (two_texts) texts_.push_back(part("text_encoder_2", "model"));
    family_ = unet_.parameters == published[0].parameters   ? Family::sd15
              : unet_.parameters == published[1].parameters ? Family::sdxl
                                                            : Family::other;
    if ((family_ == Family::sdxl) != two_texts && family_ != Family::other)
      problem("models.base", fmt::format("the UNet is {}'s, the text encoders are not", name_of(family_)),
              base.string(), "SDXL has text_encoder_2 and tokenizer_2, Stable Diffusion 1.5 has not.");
    std::vector<std::string> tokenizers{"tokenizer"};
    if (two_texts) tokenizers.emplace_back("tokenizer_2");
    for (const auto& folder : tokenizers) {
      for (const char* file : {"vocab.json", "merges.txt"}) require(base / folder / file, folder);
    }
    require(base / "scheduler" / "scheduler_config.json", "scheduler");
    layer_diffuse();
    encoder_ = transparent("models.transparent_encoder", config_.transparent_encoder, "transparent_encoder");
    decoder_ = transparent("models.transparent_decoder", config_.transparent_decoder, "transparent_decoder");
    which_is_which("models.transparent_encoder", encoder_, encoder_names, "decoder", decoder_names);
    which_is_which("models.transparent_decoder", decoder_, decoder_names, "encoder", encoder_names);
    unknowing_unet();
    resolution();
    loras();
    memory();
    return std::move(finding_);
  }

 private:
  void line(std::string what, std::string found) {
    finding_.lines.emplace_back(std::move(what), std::move(found));
  }
  void problem(const std::string& what, std::string problem, std::string where, std::string hint) {
    line(what, "PROBLEM, see below");
    finding_.problems.push_back({std::move(problem), std::move(where), std::move(hint)});
  }
  void problems_of(const std::string& what, const Error& error) {
    for (const auto& each : error.problems()) problem(what, each.what, each.where, each.hint);
  }
  void require(const fs::path& file, const std::string& what) {
    if (!fs::exists(file))
      problem(what, "is missing", file.string(), "Download it with the rest of the model.");
  }

  static std::string text_of(const Weights& weights) {
    std::string types;
    for (const auto& type : weights.types) types += (types.empty() ? "" : " and ") + type;
    std::string text =
        fmt::format("{:.1f} M parameters in {}, {:.2f} GB", static_cast<double>(weights.parameters) / mega,
                    types, static_cast<double>(weights.bytes) / giga);
    if (weights.files > 1) text += fmt::format(" in {} files", weights.files);
    for (const auto& each : published) {
      if (each.parameters == weights.parameters) text += fmt::format(" ({})", each.name);
    }
    return text;
  }

  Weights part(const std::string& folder, const std::string& stem) {
    Weights weights;
    const auto at = config_.base / folder;
    require(at / "config.json", folder);
    try {
      for (const char* variant : {"", ".fp16"}) {
        const auto index = at / (stem + ".safetensors.index" + variant + ".json");
        const auto plain = at / (stem + variant + ".safetensors");
        if (fs::exists(plain)) {
          add_file(plain, weights);
        } else if (fs::exists(index)) {
          std::set<std::string> shards;
          const auto json = nlohmann::json::parse(read_text(index));
          for (const auto& [tensor, file] : json.at("weight_map").items())
            shards.insert(file.get<std::string>());
          for (const auto& shard : shards) add_file(at / fs::path(shard).filename(), weights);
        }
        if (weights.files > 0) break;
      }
      if (weights.files == 0) {
        const bool pickled = fs::exists(at / (stem + ".bin"));
        problem(
            folder,
            pickled ? "holds " + stem + ".bin only, which is not read" : "has no " + stem + ".safetensors",
            at.string(), "Download the .safetensors (or .fp16.safetensors) file of this part.");
      } else {
        line(folder, text_of(weights));
      }
    } catch (const Error& error) {
      problems_of(folder, error);
    } catch (const nlohmann::json::exception& error) {
      problem(folder, std::string{"has a broken index of shards: "} + error.what(), at.string(), {});
    }
    return weights;
  }

  void layer_diffuse() {
    const auto& path = config_.layer_diffuse;
    const std::string key = "models.layer_diffuse";
    if (path.empty()) {
      if (family_ == Family::other) {
        line(key, "none: this model must know transparency itself, as the toy model does");
      } else {
        problem(key, fmt::format("is not set, and plain {} knows no transparency", name_of(family_)),
                config_.base.string(),
                family_ == Family::sd15 ? "Set it to layer_sd15_transparent_attn.safetensors of "
                                          "LayerDiffusion/layerdiffusion-v1 (350 MB)."
                                        : "Set it to ld_diffusers_sdxl_attn.safetensors of "
                                          "lllyasviel/LayerDiffuse_Diffusers (1.9 GB).");
      }
      return;
    }
    try {
      Weights weights;
      add_file(path, weights);
      const auto holds = [&](const char* part) {
        return std::any_of(weights.names.begin(), weights.names.end(),
                           [&](const auto& name) { return name.find(part) != std::string::npos; });
      };
      std::optional<Family> of;
      std::string kind;
      if (holds("hookers.layers.")) {
        of = Family::sd15;
        kind = "Stable Diffusion 1.5's attention replacement";
      } else if (holds("::lora::") || holds("::diff::")) {
        of = Family::sdxl;
        kind = "SDXL's low-rank offsets under the webui's names";
      } else if (holds("_blocks.") || holds("mid_block.")) {
        kind = "offsets under diffusers' names";
        if (family_ == Family::sd15) of = Family::sdxl;  // published for SDXL alone
        if (family_ == Family::sdxl) of = Family::sdxl;
      } else {
        problem(key, "is no LayerDiffuse file for a UNet", path.string(),
                "configs/models/README.md names them.");
        return;
      }
      line(key, fmt::format("{}, {}", kind, text_of(weights)));
      if (of && family_ != Family::other && *of != family_)
        problem(key, fmt::format("is for {}, the base is {}", name_of(*of), name_of(family_)), path.string(),
                "Take the file of the base's family.");
    } catch (const Error& error) {
      problems_of(key, error);
    }
  }

  Weights transparent(const std::string& key, const fs::path& chosen, const std::string& stem) {
    Weights weights;
    const auto path = chosen.empty() ? config_.base / (stem + ".safetensors") : chosen;
    if (!fs::exists(path)) {
      const bool sdxl = family_ == Family::sdxl;
      problem(
          key, "there is no such file", path.string(),
          fmt::format("Download {}{}.safetensors of LayerDiffusion/layerdiffusion-v1 and set the key to it.",
                      sdxl ? "vae_" : "layer_sd15_vae_", stem));
      return weights;
    }
    try {
      add_file(path, weights);
      std::string known = family_ == Family::other ? "" : ", sum not among the known ones";
      if (weights.bytes <= most_summed_bytes) {
        const auto sum = sha256_of_file(path);
        for (const auto& each : sums) {
          if (sum.compare(0, std::string(each.begin).size(), each.begin) != 0) continue;
          known = fmt::format(", the published {}", each.file);
          if (family_ != Family::other && each.family != family_)
            problem(key, fmt::format("is for {}, the base is {}", name_of(each.family), name_of(family_)),
                    path.string(), "It would load and draw garbage: take the file of the base's family.");
        }
        known += fmt::format(" (sha256 {})", sum.substr(0, 8));
      }
      line(key, text_of(weights) + known);
    } catch (const Error& error) {
      problems_of(key, error);
    }
    return weights;
  }

  // A file under the other's key would be told by the loader, but hours later in the queue.
  void which_is_which(const std::string& key, const Weights& weights, const char* own, const char* other,
                      const char* others) {
    const auto holds = [&](const char* prefix) {
      const auto first = weights.names.lower_bound(prefix);
      return first != weights.names.end() && first->starts_with(prefix);
    };
    if (weights.files == 0 || holds(own)) return;
    problem(key,
            holds(others) ? fmt::format("is a transparent {}; perhaps the two keys are swapped", other)
                          : fmt::format("holds no tensor {}..., as LayerDiffuse's file does", own),
            key, "configs/models/README.md names the files.");
  }

  // Published decoders belong to a UNet that draws transparent latents; the family's own check is in
  // layer_diffuse().
  void unknowing_unet() {
    const auto& decoder = published.back();
    if (family_ != Family::other || !config_.layer_diffuse.empty() ||
        decoder_.parameters != decoder.parameters)
      return;
    problem(
        "models.layer_diffuse",
        fmt::format("is not set, but models.transparent_decoder is {}: the UNet would know no transparency",
                    decoder.name),
        config_.base.string(), "Set it to LayerDiffuse's attention file of the base's family.");
  }

  void resolution() {
    if (resolution_ == 0 || !finding_.problems.empty()) return;
    try {
      const auto multiple = diffusion::resolution_multiple(config_);
      if (resolution_ % multiple != 0)
        problem("diffusion.resolution", fmt::format("{} is no multiple of {}", resolution_, multiple),
                "diffusion.resolution",
                "The model's networks halve the picture that often. 0 takes the model's own.");
      else
        line("diffusion.resolution", fmt::format("{} pixels, a multiple of {}", resolution_, multiple));
    } catch (const Error& error) {
      problems_of("diffusion.resolution", error);
    }
  }

  void loras() {
    for (const auto& entry : config_.lora) {
      const auto equals = entry.rfind('=');
      const auto path = fs::exists(entry) || equals == std::string::npos ? entry : entry.substr(0, equals);
      if (!fs::exists(path)) {
        problem("models.lora", "there is no such LoRA file", path, "Correct the entry: \"file=scale\".");
        continue;
      }
      try {
        Weights weights;
        add_file(path, weights);
        line("models.lora", fmt::format("{}: {}", entry, text_of(weights)));
      } catch (const Error& error) {
        problems_of("models.lora", error);
      }
    }
  }

  // Of weights, computed from the numbers of parameters; pictures and latents come on top.
  void memory() {
    if (!finding_.problems.empty()) return;
    const auto gigabytes = [](double parameters, double bytes) { return parameters * bytes / giga; };
    constexpr double full = 4, half = 2;
    const auto unet = static_cast<double>(unet_.parameters), vae = static_cast<double>(vae_.parameters);
    const auto transparent = static_cast<double>(encoder_.parameters + decoder_.parameters);
    double texts = 0;
    for (const auto& text : texts_) texts += static_cast<double>(text.parameters);
    const auto weights = [&](double of_unet) {
      return gigabytes(unet, of_unet) + gigabytes(texts + vae + transparent, full);
    };
    line("memory, weights",
         fmt::format("{:.2f} GB with the UNet in fp32, {:.2f} GB in bf16 or fp16 (the rest in fp32)",
                     weights(full), weights(half)));
    const bool merges = !config_.layer_diffuse.empty() || !config_.lora.empty();
    line("memory, loading",
         fmt::format("{:.2f} GB of the host at most{}", weights(merges ? full : half),
                     merges ? ": what is merged is merged in fp32" : " in half precision"));
  }

  const diffusion::ModelsConfig& config_;
  std::int64_t resolution_;
  ModelsFinding finding_;
  Family family_ = Family::other;
  Weights unet_, vae_, encoder_, decoder_;
  std::vector<Weights> texts_;
};

}  // namespace

ModelsFinding examine_models(const diffusion::ModelsConfig& config, std::int64_t resolution) {
  return Examination(config, resolution).run();
}

}  // namespace deda::jobs
