// The dataset's own pictures beside what was made of them: found on disk, or said to be missing. Looking
// needs no more than the folder that held them: nothing of the dataset's annotation is read.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "io/pictures/image.h"
#include "io/store/record_store.h"

namespace deda::report {

// One picture, or why it cannot be shown: "not on disk", "unreadable", "of another size on disk".
struct Original {
  io::Image image;
  std::string why_not;  // empty where there is an image
};

class Originals {
 public:
  Originals() = default;  // none is at hand
  explicit Originals(std::filesystem::path root) : looked_in_{root}, root_{std::move(root)} {}
  // The first of `candidates` under which some picture of the store lies; after them the folder that the
  // store was made from, as its provenance tells. Empty paths are passed over.
  Originals(const io::StoreReader& store, std::vector<std::filesystem::path> candidates);

  // `source`: as the store names it. `height`, `width`: what the store saw of it, 0 where that is unknown:
  // rows that the dataset's layout drops below (a banner) are cut off, a picture that was decoded upright is
  // turned upright (at once with `turned`), and another picture of the same name is not shown.
  Original picture(const std::string& source, int height, int width, bool turned = false) const;
  bool found() const { return !root_.empty(); }
  // In words, for the line below a sheet: where they are, or where they were looked for.
  std::string where() const;

 private:
  std::vector<std::filesystem::path> looked_in_;
  std::filesystem::path root_;  // empty: no folder has any
};

// The sentence below a sheet: where its pictures are from, and how many are `missing`.
std::string words_on(const Originals& originals, std::int64_t shown, std::int64_t missing);

}  // namespace deda::report
