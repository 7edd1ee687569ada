// device_figures: what one device does in a second, as JSON lines (README.md).
#include <cstdio>
#include <exception>

#include "core/allocator.h"
#include "device/figures/options.h"
#include "device/figures/subcommands.h"

int main(int argc, char** argv) {
  using namespace deda::figures;
  deda::keep_freed_memory();
  const auto options = read_options(argc, argv);
  try {
    if (options.subcommand == "training") return print_training_figures(options, argc, argv);
    if (options.subcommand == "diffusion") return print_diffusion_figures(options);
    if (options.subcommand == "segmenters") return print_segmenter_figures(options);
    if (options.subcommand == "parallel") return print_parallel_figures(options, argc, argv);
    if (options.subcommand == "make-model") return make_model(options);
    return join_figures(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
