// Positions as sines and cosines, always in float32. Sources: DETR's and DAB-DETR's position codes as
// GroundingDINO uses them (models/GroundingDINO/backbone/position_encoding.py, utils.py).
#pragma once

#include <ATen/ATen.h>

namespace deda::models {

// Each coordinate of [..., C] -> `features` interleaved sines and cosines of 2 pi x / temperature^(2k /
// features); the first two coordinates change places (y before x). -> [..., C * features].
at::Tensor sine_code(const at::Tensor& coordinates, std::int64_t features, double temperature = 10000.0);

// mask [B, H, W] bool, true where the picture is -> [B, H * W, 2 * features]: the code of the place (y, x),
// counted in valid places and scaled to 0..2 pi over the valid part.
at::Tensor sine_map(const at::Tensor& mask, std::int64_t features, double temperature);

}  // namespace deda::models
