#include "models/text_blocks.h"

#include <algorithm>
#include <array>

namespace deda::models {
namespace {

constexpr std::array<std::int64_t, 4> boundary_ids{101, 102, 1012, 1029};  // [CLS] [SEP] . ?

}  // namespace

TextBlocks text_blocks(const at::Tensor& given) {
  const auto ids = given.to(at::kCPU, at::kLong).contiguous();
  const auto batch = ids.size(0), columns = ids.size(1);
  TextBlocks blocks{at::eye(columns, at::kBool).repeat({batch, 1, 1}),
                    at::zeros({batch, columns}, at::kLong)};
  const auto* id = ids.data_ptr<std::int64_t>();
  auto* position = blocks.positions.data_ptr<std::int64_t>();
  for (std::int64_t row = 0; row < batch; ++row, id += columns, position += columns) {
    std::int64_t previous = -1;
    for (std::int64_t column = 0; column < columns; ++column) {
      if (std::find(boundary_ids.begin(), boundary_ids.end(), id[column]) == boundary_ids.end()) continue;
      if (column != 0 && column != columns - 1) {
        const auto begin = previous + 1;
        blocks.attends[row].slice(0, begin, column + 1).slice(1, begin, column + 1).fill_(true);
        for (auto i = begin; i <= column; ++i) position[i] = i - begin;
      }
      previous = column;
    }
  }
  blocks.attends = blocks.attends.to(given.device());
  blocks.positions = blocks.positions.to(given.device());
  return blocks;
}

}  // namespace deda::models
