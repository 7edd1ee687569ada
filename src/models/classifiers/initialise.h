// Initial weights as a pure function of (seed, tensor name), by each network's own rules
// (Classifier::initial_values). Why by name: a fresh head is the same whatever stands before it, the number
// of ranks has no say, and no order is part of results.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace torch::nn {
class Module;
}

namespace deda::models {

class Classifier;

// Fills parameters and buffers in place; running statistics become 0 and 1. Memory order and device stay as
// they are. ModelError lists parameters and buffers without a rule, and nothing is changed then.
void initialise(Classifier& network, std::uint64_t seed);

// The last layer alone as PyTorch makes a linear layer, for weights of another class count: the rules from
// scratch may start it at 0 (ViT-B/16).
void initialise_fresh_head(Classifier& network, std::uint64_t seed);

// For the diffusion networks (layers.h): kernels and matrices uniform in +-1/sqrt(fan-in), biases 0, norms 1
// and 0, embeddings normal with std 0.02. Tensors whose name ends as one of `zeros` start at 0.
void initialise_diffusion(torch::nn::Module& network, std::uint64_t seed,
                          const std::vector<std::string>& zeros = {});

}  // namespace deda::models
