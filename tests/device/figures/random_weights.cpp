#include "device/figures/random_weights.h"

#include <ATen/ATen.h>

#include <cmath>
#include <string>

namespace deda::figures {

void fill_with_random_weights(torch::nn::Module& network, std::uint64_t seed) {
  const at::NoGradGuard no_gradients;
  constexpr double embedding_bound = 0.035;  // deviation 0.02, CLIP's
  at::manual_seed(seed);
  const auto ends_with = [](const std::string& name, const std::string& tail) {
    return name.size() >= tail.size() && name.compare(name.size() - tail.size(), tail.size(), tail) == 0;
  };
  for (auto& entry : network.named_parameters()) {
    const auto& name = entry.key();
    auto tensor = entry.value().detach();
    if (ends_with(name, "bias")) {
      tensor.zero_();
    } else if (tensor.dim() < 2) {
      tensor.fill_(1.0);
    } else if (ends_with(name, "embedding.weight") || ends_with(name, "embeddings.weight")) {
      tensor.uniform_(-embedding_bound, embedding_bound);
    } else {
      const auto fan_in = static_cast<double>(tensor.numel() / tensor.size(0));
      const double bound = std::sqrt(3.0 / fan_in);
      tensor.uniform_(-bound, bound);
    }
  }
  for (auto& buffer : network.buffers()) {
    if (buffer.is_floating_point()) buffer.fill_(1.0);
  }
}

}  // namespace deda::figures
