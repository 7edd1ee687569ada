// Pictures through the ladder of mask sources to their parts: masks, union, sanity checks, cut, fill. A unit
// of work is one or a few pictures, which networks may take as one batch.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "decoupling/config.h"
#include "decoupling/mask_source.h"
#include "io/store/record_store.h"

namespace deda::decoupling {

// The remark on a picture whose annotated box is not inside of it.
inline constexpr const char* box_outside = "an annotated box reaches outside of the picture";

// One source's try at one picture, as people look at it.
struct Attempt {
  std::string route, prompt, reason;  // reason: why it gave nothing, or nothing for some class
  std::vector<FoundObject> objects;
};

// What one picture gave, with what a trace and an overlay show besides the records.
struct DecoupledPicture {
  io::ItemResult result;              // CDPs (one per class) then CIP; or outcome and reason
  std::vector<Attempt> attempts;      // in the order of the ladder
  std::string route;                  // of the accepted parts; several are joined by "+"
  Masks masks;                        // of the last source that was tried
  io::Image merged, hole;             // union of all accepted masks; what was filled
  int height = 0, width = 0;          // of the source, as it was read
  int turned = 1;                     // EXIF orientation that was applied; 1: as stored
  double quality = io::not_measured;  // lowest of the accepted parts (mask_quality.h)
};

struct UnitItem {
  const data::Item* item = nullptr;
  std::int64_t number = 0;    // in the store
  bool keep_tensors = false;  // for a trace
};

// Never throws for what is wrong with a picture or its annotation: that becomes the outcome. Thread-safe; a
// pure function of its arguments.
std::vector<DecoupledPicture> decouple_unit(const data::Dataset& dataset, const std::vector<UnitItem>& unit,
                                            const std::vector<std::unique_ptr<MaskSource>>& sources,
                                            const DecoupleConfig& config);
DecoupledPicture decouple_picture(const data::Dataset& dataset, const data::Item& item,
                                  std::int64_t item_number,
                                  const std::vector<std::unique_ptr<MaskSource>>& sources,
                                  const DecoupleConfig& config);

}  // namespace deda::decoupling
