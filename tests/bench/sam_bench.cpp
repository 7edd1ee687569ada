// What Segment Anything costs: processor seconds (so that a busy machine does not matter) to embed a picture
// of 1024 pixels and to cut a box out of it, and how much of the machine's rate of matrix products (measured
// in the same run) the encoder reaches.
//   bench_sam [b|mobile] [torch threads 1] [boxes 8]
// Random weights of the full size; the time does not depend on them.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <string>
#include <vector>

#include "bench/measure.h"
#include "core/allocator.h"
#include "models/classifiers/initialise.h"
#include "models/layers.h"
#include "models/sam/sam.h"

namespace {

using namespace deda;
using namespace deda::bench;

// Of all threads together.
// Of products of the shape of the encoder's own: [4096, 768] times [768, 3072].
double matrix_gigaflops() {
  constexpr std::int64_t rows = 4096, inner = 768, columns = 3072;
  const auto a = at::rand({rows, inner}), b = at::rand({inner, columns});
  std::vector<double> rates;
  for (int i = 0; i < 5; ++i) rates.push_back(2e-9 * rows * inner * columns / seconds_of([&] { a.mm(b); }));
  return *std::max_element(rates.begin(), rates.end());
}

// Additions and multiplications of the ViT encoder's products, in 1e9.
double encoder_gigaflop(const models::SamVisionConfig& c) {
  const double places = static_cast<double>(c.grid() * c.grid()), width = static_cast<double>(c.hidden_size);
  const double side = static_cast<double>(c.window_size), mlp = static_cast<double>(c.mlp_dim);
  const double rows = std::ceil(static_cast<double>(c.grid()) / side), windows = rows * rows;
  double flop = 2 * places * width * 3 * static_cast<double>(c.patch_size * c.patch_size);
  for (std::int64_t i = 0; i < c.layers; ++i) {
    const bool global = std::find(c.global_layers.begin(), c.global_layers.end(), i) != c.global_layers.end();
    const double in_attention = global ? places : windows * side * side, seen = global ? places : side * side;
    flop += 2 * in_attention * width * 4 * width + 4 * in_attention * seen * width + 4 * places * width * mlp;
  }
  const double out = static_cast<double>(c.output_channels);
  return 1e-9 * (flop + 2 * places * width * out + 2 * places * out * out * 9);
}

void run(const std::string& kind, std::int64_t boxes) {
  at::NoGradGuard no_gradients;
  models::SamConfig config;
  if (kind == "mobile") config.mobile = models::TinyVitConfig{};
  models::Sam network(config);
  models::initialise_diffusion(network, 1);
  for (auto& buffer : network.buffers()) buffer.fill_(1);
  network.finish_loading();
  models::freeze(network);
  const double rate = matrix_gigaflops();
  const auto pixels = at::rand({1, 3, config.image_size(), config.image_size()});
  at::Tensor embedding;
  std::vector<double> embeds;
  for (int i = 0; i < (config.mobile ? 3 : 1); ++i)
    embeds.push_back(seconds_of([&] { embedding = network.embed(pixels); }));
  const auto corners = at::rand({1, boxes, 4}) * static_cast<double>(config.image_size());
  std::vector<double> cuts;
  for (int i = 0; i < 3; ++i)
    cuts.push_back(seconds_of([&] { network.segment(embedding, {corners, {}, {}, {}}, false); }));
  std::string load;
  std::getline(std::ifstream("/proc/loadavg"), load);
  fmt::print("{}, {} torch threads, load {}; matrix products {:.0f} GFLOP/s\n",
             config.mobile ? "MobileSAM" : "SAM ViT-B", at::get_num_threads(), load, rate);
  fmt::print("embedding a picture  {:7.2f} s", median(embeds));
  if (!config.mobile) {
    const double flop = encoder_gigaflop(config.vision);
    fmt::print("  {:.0f} GFLOP, {:.0f} % of the rate of matrix products", flop,
               100 * flop / median(embeds) / rate);
  }
  fmt::print("\ncutting out a box    {:7.3f} s  ({} together)\n", median(cuts) / static_cast<double>(boxes),
             boxes);
}

}  // namespace

int main(int argc, char** argv) {
  deda::keep_freed_memory();
  const std::string kind = argc > 1 ? argv[1] : "b";
  at::set_num_threads(argc > 2 ? std::max(1, std::atoi(argv[2])) : 1);
  try {
    run(kind, argc > 3 ? std::max(1L, std::atol(argv[3])) : 8);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
  return 0;
}
