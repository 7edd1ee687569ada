// Tensor names of the three kinds of GroundingDINO files, as names of our network (which are those published
// by IDEA-Research on Hugging Face).
#pragma once

#include <string>
#include <vector>

#include "models/weights/weight_files.h"

namespace deda::models {

// Where a file's tensor goes; several names: it is packed (query, key, value). No name: passed over, because
// it is computed (relative_position_index) or not used (pooler, label_enc). Names not known come back as they
// are. The box head is one tensor under up to twelve names: `box_head` is the one that counts, the others are
// passed over.
std::vector<std::string> grounding_dino_names(const std::string& name, const std::string& box_head);

// The first of bbox_embed.{k} and (model.|transformer.)decoder.bbox_embed.{k} that the files hold, as a
// prefix with a dot behind it; the first of all where there is none.
std::string grounding_dino_box_head(const WeightFiles& files);

}  // namespace deda::models
