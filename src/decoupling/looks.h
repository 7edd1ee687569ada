// What a person wants to see of every picture of a store besides its parts: which sources were tried, what
// each found (boxes, scores, phrases, coarse masks) and why something was left out. One line of JSON per
// picture, looks-NNNNNN.jsonl beside each segment, written before the segment is named; the same bytes for
// any number of ranks.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "decoupling/ladder.h"

namespace deda::decoupling {

struct Look {
  std::int64_t item = 0;
  std::string source, route, reason;  // route: empty where the picture gave no parts
  io::Outcome outcome = io::Outcome::done;
  int height = 0, width = 0;  // of the picture; 0: unreadable
  int turned = 1;             // EXIF orientation by which the picture was turned; 1: as stored
  double hole_share = 0;
  double quality = io::not_measured;  // lowest of the accepted masks (mask_quality.h)
  std::vector<Attempt> attempts;
};

std::string name_of_looks(std::int64_t segment);  // looks-000012.jsonl
// One line, without the end of line. Sketches of the first `most_sketches` objects of an attempt are kept.
inline constexpr std::size_t most_sketches = 64;
std::string look_line(const DecoupledPicture& picture, const std::string& source);
// All looks of a store, by item. Lines that cannot be read are passed over. Empty where the store has none.
std::vector<Look> read_looks(const std::filesystem::path& store);

}  // namespace deda::decoupling
