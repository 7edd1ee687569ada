// What the device can do at most: the yardsticks of all other figures.
#pragma once

#include "device/figures/workbench.h"

namespace deda::figures {

// Floating-point operations a second of large matrix products, measured; 0 where that failed.
struct Rates {
  double bf16 = 0, fp16 = 0, fp32 = 0, tf32 = 0;
  double of(at::ScalarType type) const {
    return type == at::kBFloat16 ? bf16 : type == at::kHalf ? fp16 : fp32;
  }
};

// Prints PREFIX.rate.matrix.*; leaves TF32 off.
Rates print_rates(const Workbench& bench, const std::string& prefix);
// Prints SUBCOMMAND.rate.copy.*. No other figure needs them: they come last.
void print_copy_rates(const Workbench& bench, const std::string& subcommand);

// Prints NAME.rate_share: operations a second over a matrix-product rate.
void print_share(const std::string& name, double operations_per_second, double rate);

}  // namespace deda::figures
