// What a record store holds, for people: counts that add up, sizes, and sample rows for a contact sheet.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "io/store/record_store.h"
#include "report/contact_sheet.h"
#include "report/originals.h"
#include "report/page.h"

namespace deda::report {

struct ClassSummary {
  std::string name;
  std::int64_t items = 0;
  std::array<std::int64_t, 5> outcomes{};  // by io::Outcome
  std::int64_t real_cdps = 0, synthetic_cdps = 0, cips = 0;
  double mean_mask_share = 0;  // mask area / source crop frame of the CIP, over real CDPs
  bool is_empty() const { return items == 0 && real_cdps == 0 && synthetic_cdps == 0 && cips == 0; }
};

struct StoreSummary {
  std::string stage, dataset;
  std::int64_t items = 0, records = 0, pixel_bytes = 0;
  std::array<std::int64_t, 5> outcomes{};
  std::vector<ClassSummary> classes;  // all that the store knows, those without pictures too
  std::string made_by;                // "on AMD EPYC 9B14 by version 0.1.0"; empty where it does not tell
  std::vector<std::int64_t> mask_share_histogram;  // 20 bins of 5 %
  bool adds_up() const;                            // outcomes sum to items
};

StoreSummary summarize(const io::StoreReader& store);
// A row per class that has pictures in the store; the others are counted in one line.
std::string to_text(const StoreSummary& summary);
void add_to_page(Page& page, const StoreSummary& summary);

// Rows image | CDP | CIP, the CDP of the picture's own class. A picture that is not at hand is said to be so
// in its cell.
struct SampleRows {
  std::vector<std::int64_t> items;  // of the store, one per row
  std::vector<SheetRow> rows;
  std::int64_t missing_pictures = 0;
};
// Up to `count` items with parts, spread evenly over the classes.
SampleRows sample_rows(const io::StoreReader& store, const Originals& originals, std::size_t count);

}  // namespace deda::report
