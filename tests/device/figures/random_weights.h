// Weights that need no file: fast to draw where the network lies, and such that numbers stay finite from end
// to end. Times do not depend on them, as long as they are not zeros.
#pragma once

#include <torch/nn/module.h>

#include <cstdint>

namespace deda::figures {

// Kernels and matrices uniform with variance 1 / fan-in, biases 0, norms 1 and 0, embeddings small. In place,
// of any type and device.
void fill_with_random_weights(torch::nn::Module& network, std::uint64_t seed);

}  // namespace deda::figures
