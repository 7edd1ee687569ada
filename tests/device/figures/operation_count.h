// Floating-point operations of a pass, as its operators are called: what a speed is a share of.
#pragma once

#include <functional>

namespace deda::figures {

// Additions and multiplications of linear layers, convolutions, matrix products and attention while `work`
// runs on this thread; of attention both products. All else is left out, as usual.
double operations_in(const std::function<void()>& work);

// A training step over its forward pass: the products by weights and by inputs go backwards too.
inline constexpr double step_over_forward = 3;
// Where weights are frozen and only inputs get gradients.
inline constexpr double frozen_step_over_forward = 2;

}  // namespace deda::figures
