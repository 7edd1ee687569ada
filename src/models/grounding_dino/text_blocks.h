// The sub-sentences of a GroundingDINO prompt: words between dots see each other and nothing else, and
// positions are counted anew in each. Source: IDEA-Research/GroundingDINO,
// models/GroundingDINO/bertwarper.py.
#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <limits>

namespace deda::models {

struct TextBlocks {
  at::Tensor attends;    // [B, N, N] bool: row looks at column
  at::Tensor positions;  // [B, N] int64, from 0 in each block
};

// ids [B, N] int64. A block runs from behind one boundary ([CLS], [SEP], "." or "?", by their ids in BERT's
// uncased vocabulary) up to the next, which belongs to it. Tokens outside of a block, the first and the last
// column look at themselves alone: hence a prompt must end with a dot.
// Only the first `most` columns are made, as parts of the whole prompt's blocks.
TextBlocks text_blocks(const at::Tensor& ids, std::int64_t most = std::numeric_limits<std::int64_t>::max());

}  // namespace deda::models
