// What to look for in a picture, in words: the prompt of a text-prompted detector, the classes of a semantic
// network. From the configuration, else from the dataset's own words.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "decoupling/config.h"

namespace deda::decoupling {

// The prompt for every class of the dataset; the same text for all where one word names what every picture
// shows (paper table 6: "Bird", "Aircraft", "Car"), else the label's name. Lower case, phrases end with a
// dot. ConfigError for a prompt without a word.
std::vector<std::string> prompts_by_class(const DecoupleConfig& config, const data::Dataset& dataset);

// For every class of the dataset, the network's classes that are its object: configured ones, those of the
// dataset's words, or the label's own. ConfigError listing the names that the network does not know.
std::vector<std::vector<std::uint8_t>> semantic_by_class(const DecoupleConfig& config,
                                                         const data::Dataset& dataset,
                                                         const std::vector<std::string>& network_labels);

}  // namespace deda::decoupling
