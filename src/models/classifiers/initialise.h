// Initial weights as a pure function of (seed, tensor name), by the rules of torchvision's ResNet:
// convolutions normal with std sqrt(2 / (k*k*out)) (He et al. 2015, fan-out), batch norm 1 and 0, the linear
// layer uniform in +-1/sqrt(in) for weight and bias. Why by name: a fresh head is the same whatever stands
// before it, and no order is part of results.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace torch::nn {
class Module;
}

namespace deda::models {

// Fills parameters and buffers in place; running statistics become 0 and 1. Memory order and device stay as
// they are.
void initialise(torch::nn::Module& network, std::uint64_t seed);

// For the diffusion networks (layers.h): kernels and matrices uniform in +-1/sqrt(fan-in), biases 0, norms 1
// and 0, embeddings normal with std 0.02. Tensors whose name ends as one of `zeros` start at 0.
void initialise_diffusion(torch::nn::Module& network, std::uint64_t seed,
                          const std::vector<std::string>& zeros = {});

}  // namespace deda::models
