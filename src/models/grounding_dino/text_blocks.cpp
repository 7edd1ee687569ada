#include "models/grounding_dino/text_blocks.h"

#include <algorithm>
#include <array>

namespace deda::models {
namespace {

constexpr std::array<std::int64_t, 4> boundary_ids{101, 102, 1012, 1029};  // [CLS] [SEP] . ?

}  // namespace

TextBlocks text_blocks(const at::Tensor& given, std::int64_t most) {
  const auto ids = given.to(at::kCPU, at::kLong).contiguous();
  const auto batch = ids.size(0), columns = ids.size(1), kept = std::min(columns, most);
  TextBlocks blocks{at::eye(kept, at::kBool).repeat({batch, 1, 1}), at::zeros({batch, kept}, at::kLong)};
  const auto* id = ids.data_ptr<std::int64_t>();
  auto* position = blocks.positions.data_ptr<std::int64_t>();
  for (std::int64_t row = 0; row < batch; ++row, id += columns, position += kept) {
    std::int64_t previous = -1;
    for (std::int64_t column = 0; column < columns && previous + 1 < kept; ++column) {
      if (std::find(boundary_ids.begin(), boundary_ids.end(), id[column]) == boundary_ids.end()) continue;
      if (column != 0 && column != columns - 1) {
        const auto begin = previous + 1;
        const auto end = std::min(column + 1, kept);
        blocks.attends[row].slice(0, begin, end).slice(1, begin, end).fill_(true);
        for (auto i = begin; i < end; ++i) position[i] = i - begin;
      }
      previous = column;
    }
  }
  blocks.attends = blocks.attends.to(given.device());
  blocks.positions = blocks.positions.to(given.device());
  return blocks;
}

}  // namespace deda::models
