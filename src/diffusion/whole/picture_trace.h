// One edit of a whole picture as a file that any other program can replay (names: README, "Whole pictures").
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "diffusion/whole/picture_generator.h"
#include "models/weights/tensor_file.h"

namespace deda::diffusion {

// `more` and `metadata`: what the generator does not know (`input_ids`, `learned_embeds`; `method`, `prompt`,
// `lora`, classes), added to its own. Atomic.
void write_picture_trace(const std::filesystem::path& file, const PictureGenerator& generator,
                         const PreparedPictures& pictures, const PictureTask& task,
                         const PictureRecord& record, const EditedPicture& edited,
                         const models::NamedTensors& more,
                         const std::map<std::string, std::string>& metadata);

}  // namespace deda::diffusion
