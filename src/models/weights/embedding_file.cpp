#include "models/weights/embedding_file.h"

#include <ATen/ops/isfinite.h>

#include <algorithm>
#include <array>

#include "core/error.h"
#include "io/formats/torch_archive.h"
#include "models/weights/tensor_file.h"

namespace deda::models {
namespace {

namespace fs = std::filesystem;

const std::string kohya_name = "emb_params";
const std::string webui_name = "string_to_param/*";
const std::array<std::string, 2> kohya_sdxl_names{"clip_l", "clip_g"};
// More vectors than a prompt of 77 tokens has places cannot be used by anybody.
constexpr std::int64_t most_vectors = 75;
constexpr std::size_t most_listed = 8;

bool contains(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

// What a file with such names is instead.
std::string other_kind(const NamedTensors& tensors) {
  bool lora = false, network = false;
  for (const auto& [name, tensor] : tensors) {
    lora = lora || contains(name, "lora") || contains(name, ":up") || contains(name, ":down");
    network = network || contains(name, ".weight") || contains(name, ".bias");
  }
  if (lora) return "holds LoRA weights, not an embedding";
  if (network) return "holds the weights of a network, not an embedding";
  return {};
}

class Reader {
 public:
  explicit Reader(const fs::path& path) : path_{path} {}

  EmbeddingFile read(const std::vector<std::int64_t>& widths) {
    const auto tensors = open(path_, embedding_.metadata);
    const bool wants_second = widths.size() != 1;
    if (const auto kind = other_kind(tensors); !kind.empty()) {
      problem(kind, widths.empty() ? "" : "Give LoRA files as models.lora.");
    } else if (tensors.count(kohya_name) != 0 && tensors.size() == 1) {
      embedding_.placeholder = name_of_kohya_file();
      take(kohya_name, tensors.at(kohya_name));
    } else if (tensors.count(webui_name) != 0 && tensors.size() == 1) {
      embedding_.placeholder = name_of_kohya_file();
      take(webui_name, tensors.at(webui_name));
    } else if (tensors.count(kohya_sdxl_names[0]) + tensors.count(kohya_sdxl_names[1]) == tensors.size() &&
               !tensors.empty()) {
      embedding_.placeholder = name_of_kohya_file();
      for (const auto& name : kohya_sdxl_names) {
        if (tensors.count(name) != 0) {
          take(name, tensors.at(name));
        } else {
          problem("lacks the tensor " + name);
        }
      }
    } else if (tensors.size() == 1) {
      embedding_.placeholder = tensors.begin()->first;
      take(tensors.begin()->first, tensors.begin()->second);
      if (const auto second = embedding_path_of(path_, 1); wants_second && fs::exists(second))
        read_second(second);
    } else {
      problem(tensors.empty() ? "holds no tensor" : several(tensors),
              "An embedding file holds one placeholder.");
    }
    if (problems_.empty()) check(widths);
    if (!problems_.empty()) throw DataError(std::move(problems_));
    return std::move(embedding_);
  }

 private:
  void problem(std::string what, std::string hint = {}) {
    problems_.push_back({std::move(what), path_.string(), std::move(hint)});
  }

  static NamedTensors open(const fs::path& path, std::map<std::string, std::string>& metadata) {
    NamedTensors tensors;
    if (io::is_torch_archive(path)) {
      const auto archive = io::read_torch_archive(path);
      for (const auto& [name, tensor] : archive.tensors) tensors.emplace(name, to_tensor(tensor.view()));
      metadata = archive.texts;
      return tensors;
    }
    const io::SafetensorsFile file(path);
    for (const auto& [name, view] : file.tensors()) tensors.emplace(name, to_tensor(view));
    metadata = file.metadata();
    return tensors;
  }

  static std::string several(const NamedTensors& tensors) {
    std::string text = "holds " + std::to_string(tensors.size()) + " tensors:";
    std::size_t listed = 0;
    for (const auto& [name, tensor] : tensors) {
      if (++listed > most_listed) return text + " ...";
      text += (listed > 1 ? ", " : " ") + name + " " + shape_text(tensor.sizes());
    }
    return text;
  }

  std::string name_of_kohya_file() const {
    const auto named = embedding_.metadata.find("name");
    return named != embedding_.metadata.end() && !named->second.empty() ? named->second
                                                                        : path_.stem().string();
  }

  // Rows of one text encoder; what is wrong with them is kept.
  void take(const std::string& name, const at::Tensor& tensor) {
    if (name.empty()) problem("names no placeholder");
    if (!tensor.is_floating_point())
      return problem("tensor " + name + " is of type " + c10::toString(tensor.scalar_type()) +
                     ", not of numbers with a point");
    if (tensor.dim() < 1 || tensor.dim() > 2 || tensor.numel() == 0)
      return problem("tensor " + name + " has shape " + shape_text(tensor.sizes()) +
                     ", expected [vectors, width]");
    auto rows = tensor.to(at::kFloat).contiguous();
    if (rows.dim() == 1) rows = rows.unsqueeze(0);
    if (rows.size(0) > most_vectors)
      problem("tensor " + name + " has " + std::to_string(rows.size(0)) + " vectors; a prompt has room for " +
              std::to_string(most_vectors));
    if (!at::isfinite(rows).all().item<bool>())
      problem("tensor " + name + " holds numbers that are infinite or not a number",
              "Train it again: it is of no use.");
    embedding_.rows.push_back(rows);
  }

  void read_second(const fs::path& second) {
    std::map<std::string, std::string> metadata;
    const auto tensors = open(second, metadata);
    if (tensors.size() != 1 || tensors.begin()->first != embedding_.placeholder) {
      problems_.push_back({"does not hold the one tensor " + embedding_.placeholder, second.string(),
                           "It belongs to " + path_.filename().string() + "."});
      return;
    }
    take(tensors.begin()->first, tensors.begin()->second);
  }

  void check(const std::vector<std::int64_t>& widths) {
    const auto& rows = embedding_.rows;
    for (const auto& of_encoder : rows) {
      if (of_encoder.size(0) != rows.front().size(0))
        problem("has " + std::to_string(rows.front().size(0)) + " vectors for the first text encoder and " +
                std::to_string(of_encoder.size(0)) + " for the second");
    }
    if (widths.empty()) return;
    if (rows.size() != widths.size()) {
      problem("holds rows for " + std::to_string(rows.size()) + " text encoder(s), the model has " +
                  std::to_string(widths.size()),
              widths.size() == 2 ? "SDXL needs clip_l and clip_g, or a second file " +
                                       embedding_path_of(path_, 1).filename().string() + "."
                                 : "The embedding is of another model.");
      return;
    }
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (rows[i].size(1) != widths[i])
        problem("has rows of width " + std::to_string(rows[i].size(1)) + ", text encoder " +
                    std::to_string(i + 1) + " of the model has " + std::to_string(widths[i]),
                "The embedding is of another model.");
    }
  }

  fs::path path_;
  EmbeddingFile embedding_;
  std::vector<Problem> problems_;
};

void check_to_write(const fs::path& path, const EmbeddingFile& embedding) {
  if (embedding.placeholder.empty()) throw ConfigError("an embedding needs a placeholder", path.string());
  bool fits = !embedding.rows.empty() && embedding.rows.size() <= kohya_sdxl_names.size();
  for (const auto& rows : embedding.rows)
    fits = fits && rows.defined() && rows.dim() == 2 && rows.numel() > 0 && rows.is_floating_point() &&
           rows.size(0) == embedding.rows.front().size(0);
  if (!fits)
    throw ModelError("an embedding must be [vectors, width] for one or two text encoders", path.string());
  for (const auto& rows : embedding.rows) {
    if (!at::isfinite(rows).all().item<bool>())
      throw ModelError("the embedding of " + embedding.placeholder + " is not finite", path.string());
  }
}

}  // namespace

EmbeddingFile read_embedding(const fs::path& path, const std::vector<std::int64_t>& widths) {
  return Reader(path).read(widths);
}

void write_embedding(const fs::path& path, const EmbeddingFile& embedding, EmbeddingFormat format) {
  check_to_write(path, embedding);
  auto metadata = embedding.metadata;
  metadata["format"] = "pt";
  const auto rows = [&](std::size_t encoder) {
    return embedding.rows[encoder].detach().to(at::kCPU, at::kFloat);
  };
  const auto encoders = embedding.rows.size();
  if (format == EmbeddingFormat::diffusers) {
    for (std::size_t i = encoders; i-- > 0;)
      write_tensors(embedding_path_of(path, i), {{embedding.placeholder, rows(i)}}, metadata);
    return;
  }
  metadata["name"] = embedding.placeholder;
  if (encoders == 1) {
    write_tensors(path, {{kohya_name, rows(0)}}, metadata);
  } else {
    write_tensors(path, {{kohya_sdxl_names[0], rows(0)}, {kohya_sdxl_names[1], rows(1)}}, metadata);
  }
}

fs::path embedding_path_of(const fs::path& path, std::size_t index) {
  if (index == 0) return path;
  return path.parent_path() /
         (path.stem().string() + "_" + std::to_string(index + 1) + path.extension().string());
}

std::vector<std::string> placeholders_of_rows(const std::string& placeholder, std::int64_t count) {
  std::vector<std::string> names{placeholder};
  for (std::int64_t i = 1; i < count; ++i) names.push_back(placeholder + "_" + std::to_string(i));
  return names;
}

}  // namespace deda::models
