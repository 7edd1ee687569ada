// Two decoupling stores of one dataset held against each other: how far their masks agree, e.g. annotated
// ones and a network's.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/store/record_store.h"
#include "report/page.h"

namespace deda::report {

struct MaskAgreement {
  std::string first, second;                               // the stores by their sources and folders
  std::int64_t both = 0, first_only = 0, second_only = 0;  // pictures that give a CDP
  double mean_iou = 0, median_iou = 0;                     // of the CDPs' masks, over `both`
  std::vector<std::pair<double, std::string>> worst;       // (IoU, picture), the lowest first
};

// Real CDPs of the pictures' own classes, matched by source path and laid on one frame, whatever size they
// are stored in; alpha of half and more is the mask.
MaskAgreement compare_masks(const io::StoreReader& first, const io::StoreReader& second);
std::string to_text(const MaskAgreement& agreement);
void add_to_page(Page& page, const MaskAgreement& agreement);

}  // namespace deda::report
