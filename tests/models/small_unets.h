// The UNets of tests/golden/made_up.py.
#pragma once

#include "models/diffusion/unet.h"

namespace deda::test {

inline models::UNetConfig sd15_like() {
  models::UNetConfig config;
  config.block_out_channels = {32, 64, 64};
  config.down_attention = {true, true, false};
  config.up_attention = {false, true, true};
  config.cross_attention_dim = 24;
  config.heads = {4, 4, 4};
  config.depth = {1, 1, 1};
  return config;
}

inline models::UNetConfig sdxl_like() {
  models::UNetConfig config;
  config.block_out_channels = {32, 64};
  config.down_attention = {false, true};
  config.up_attention = {true, false};
  config.cross_attention_dim = 40;
  config.heads = {2, 4};
  config.depth = {1, 2};
  config.linear_projection = true;
  config.norm_groups = 16;
  config.added_time_width = 8;
  config.added_input_width = 12 + 6 * 8;
  return config;
}

inline models::UNetConfig eight_channels() {
  models::UNetConfig config;
  config.in_channels = 8;
  config.block_out_channels = {24, 48, 48, 48};
  config.layers_per_block = 1;
  config.cross_attention_dim = 16;
  config.norm_groups = 8;
  return config;
}

}  // namespace deda::test
