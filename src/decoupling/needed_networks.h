// The networks that the configured mask sources need, and which files they are made of. Needs no network
// library, so that every build names the same folders.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/error.h"
#include "decoupling/config.h"

namespace deda::decoupling {

// A network that a source needs: its configuration key and where it is said to be.
struct NeededNetwork {
  std::string key;  // "decouple.sam"
  std::filesystem::path path;
};
std::vector<NeededNetwork> needed_networks(const DecoupleConfig& config);

// What is wrong with their places, all of it: not named, or not there.
std::vector<Problem> missing_networks(const DecoupleConfig& config);

// ConfigError with what is missing for one source; the networks' loaders tell what is wrong inside their
// folders.
void require_networks(const DecoupleConfig& config, const std::string& source);

// The files that decide what the network computes, in name order; of a single file, that.
std::vector<std::filesystem::path> files_of(const NeededNetwork& network);

}  // namespace deda::decoupling
