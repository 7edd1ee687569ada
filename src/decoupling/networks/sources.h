// The door to the mask sources that need networks: call it once, before mask sources are made.
#pragma once

#include <string>

#include "comm/communicator.h"
#include "decoupling/config.h"

namespace deda::decoupling {

// Collective. Places the rank on a GPU or the CPU as the configuration says, and registers `semantic`,
// `box_sam` and `text_box_sam`. Returns where networks will run, for the log: "cpu", "cuda:0 (NVIDIA H100)".
// ConfigError where a GPU is asked for and there is none, or there are more ranks than GPUs.
std::string register_network_sources(const comm::Communicator& ranks, const DecoupleConfig& config);

}  // namespace deda::decoupling
