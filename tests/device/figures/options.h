// What every subcommand of device_figures is told.
#pragma once

#include <filesystem>
#include <string>

namespace deda::figures {

struct Options {
  std::string subcommand;
  std::string device = "cuda";        // or "cpu"
  bool small = false;                 // small sizes: every path of the code in seconds, on a CPU
  double seconds = 240;               // after that no further figure is begun
  bool without_samples = false;       // training: the networks alone, without MPI and the input path
  std::filesystem::path model;        // diffusion: a folder of make-model; empty: one is made
  std::filesystem::path tokenizer;    // make-model: copied from there; empty: one with made-up words
  bool tiny = false;                  // make-model
  std::filesystem::path ours, peers;  // join
};

// Prints help or what is wrong, and ends the process, where there is nothing to run.
Options read_options(int argc, char** argv);

}  // namespace deda::figures
