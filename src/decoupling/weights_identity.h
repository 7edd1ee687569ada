// Which weights made the masks, as text for the stage's identity: moving a folder changes nothing, other
// weights do. Needs no network library, so that every build names the same folders.
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

// Name, size and a hash of the ends of every file of the networks in use. ConfigError as missing_networks().
std::string weights_identity(const DecoupleConfig& config);

}  // namespace deda::decoupling
