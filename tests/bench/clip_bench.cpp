// One side of clip_bench.py: says "ready", then, for every line on standard input, takes a turn of passes of
// CLIP's image tower over one made-up batch and prints the seconds.
//   bench_clip PATCH BATCH PASSES_PER_TURN TORCH_THREADS
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>

#include "bench/measure.h"
#include "core/allocator.h"
#include "models/clip/clip.h"

int main(int argc, char** argv) {
  using namespace deda;
  if (argc < 5) return 2;
  keep_freed_memory();
  models::ClipConfig config;
  config.vision.patch_size = std::atol(argv[1]);
  const std::int64_t batch = std::atol(argv[2]), passes = std::atol(argv[3]);
  at::set_num_threads(std::atoi(argv[4]));
  const at::NoGradGuard no_gradients;
  models::Clip network(config);
  constexpr double spread =
      0.02;  // as a fresh CLIP's weights; numbers of usual size cost what trained ones do
  for (auto& parameter : network.parameters()) parameter.normal_(0, spread);
  const auto pixels = at::randn({batch, 3, config.vision.image_size, config.vision.image_size});
  const auto turn = [&] {
    return bench::seconds_of([&] {
      for (std::int64_t pass = 0; pass < passes; ++pass) network.image_embeds(pixels);
    });
  };
  turn();
  fmt::print("ready\n");
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line);) {
    fmt::print("{:.6f}\n", turn());
    std::fflush(stdout);
  }
  return 0;
}
