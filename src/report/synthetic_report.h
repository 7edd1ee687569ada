// Synthetic CDPs beside the real ones that they were made of: sheets, and how far an edit went (colours and
// silhouette), per strength. Both are laid on one frame in the source picture's pixels first, since records
// are cropped to their own alpha.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "io/store/record_store.h"
#include "report/contact_sheet.h"
#include "report/cut_out_change.h"
#include "report/page.h"

namespace deda::report {

// How one synthetic CDP differs from its real one.
Change change_of(const io::RecordView& real, const io::RecordView& synthetic);

constexpr std::size_t alpha_bins = 16;
struct AlphaHistogram {
  std::array<std::int64_t, alpha_bins> counts{};  // pixels by alpha, 0 left out
  double soft_share() const;                      // neither in the first nor in the last bin
};

struct SyntheticSummary {
  double strength = 0;
  std::int64_t real = 0, synthetic = 0;  // CDPs
  double mean_psnr_db = 0, mean_overlap = 0;
  AlphaHistogram real_alpha, synthetic_alpha;
};

// `synthetic`: a store of `deda generate`; `real`: the decouple store that it was made of (DataError when
// their classes differ). CDPs are matched by picture and class.
SyntheticSummary compare_with_real(const io::StoreReader& synthetic, const io::StoreReader& real);
std::string to_text(const SyntheticSummary& summary);
void add_to_page(Page& page, const SyntheticSummary& summary);

// Rows real | copy 1 | copy 2 ... for up to `count` CDPs spread over the classes, each on the frame of all of
// them. The cell of a copy that was rejected says so.
struct SyntheticSheet {
  std::vector<std::string> titles;
  std::vector<SheetRow> rows;
};
SyntheticSheet synthetic_sheet(const io::StoreReader& synthetic, const io::StoreReader& real,
                               std::size_t count);

}  // namespace deda::report
