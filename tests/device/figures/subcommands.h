// The subcommands of device_figures; each returns the process's exit code.
#pragma once

#include "device/figures/options.h"

namespace deda::figures {

int print_training_figures(const Options& options, int argc, char** argv);
int print_diffusion_figures(const Options& options);
int print_segmenter_figures(const Options& options);
int print_parallel_figures(const Options& options, int argc, char** argv);  // under mpirun
int make_model(const Options& options);
int join_figures(const Options& options);

}  // namespace deda::figures
