// Learnt token embeddings (textual inversion) in the files that other programs read and write:
//   diffusers     {placeholder: [n, D]} (old files: [D]); SDXL has a second file, STEM_2.safetensors, for its
//                 second text encoder. Source: diffusers loaders/textual_inversion.py and
//                 examples/textual_inversion/textual_inversion{,_sdxl}.py.
//   kohya         {"emb_params": [n, D]}, SDXL {"clip_l": [n, 768], "clip_g": [n, 1280]}; the placeholder is
//   the
//                 file's name, or metadata "name". Source: sd-scripts train_textual_inversion.py,
//                 sdxl_train_textual_inversion.py; read by the webui and ComfyUI too.
// Read only: the same as .bin or .pt of torch.save (io/formats/torch_archive.h), and the webui's own .pt
// ({"string_to_param": {"*": [n, D]}, "name": ...}).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace deda::models {

struct EmbeddingFile {
  std::string placeholder;       // "<class-0012>"
  std::vector<at::Tensor> rows;  // per text encoder [n, D], float32, the same n for all
  std::map<std::string, std::string> metadata;
};

enum class EmbeddingFormat : std::uint8_t { diffusers, kohya };

// `widths`: hidden_size of the model's text encoders, in their order; {} takes the file as it is. Half
// precision is widened, [D] becomes [1, D]; whatever else the metadata say is kept. DataError lists
// everything that is wrong: another width or number of text encoders, no or several tensors, numbers that are
// not finite or no numbers, a LoRA or a whole network instead of an embedding.
EmbeddingFile read_embedding(const std::filesystem::path& path, const std::vector<std::int64_t>& widths);

// Equal contents make equal bytes; a file is complete or not there (of diffusers' two the second is written
// first). The metadata gain format=pt, which transformers asks for, and for Kohya's format name=placeholder.
// ConfigError when there is no placeholder; ModelError when the rows are no [n, D] or not finite.
void write_embedding(const std::filesystem::path& path, const EmbeddingFile& embedding,
                     EmbeddingFormat format = EmbeddingFormat::diffusers);

// The file for text encoder `index` of diffusers' format: path itself, STEM_2.safetensors for the second.
std::filesystem::path embedding_path_of(const std::filesystem::path& path, std::size_t index);

// The names that the rows have in prompts: "<x>" alone, or "<x> <x>_1 <x>_2" as diffusers numbers them.
std::vector<std::string> placeholders_of_rows(const std::string& placeholder, std::int64_t count);

}  // namespace deda::models
