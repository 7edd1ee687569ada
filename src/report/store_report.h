// What a record store holds, for people: counts that add up, sizes, and sample rows for a contact sheet.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "io/store/record_store.h"
#include "report/contact_sheet.h"
#include "report/page.h"

namespace deda::report {

struct ClassSummary {
  std::string name;
  std::int64_t items = 0;
  std::array<std::int64_t, 5> outcomes{};  // by io::Outcome
  std::int64_t real_cdps = 0, synthetic_cdps = 0, cips = 0;
  double mean_mask_share = 0;  // mask area / source crop frame of the CIP, over real CDPs
};

struct StoreSummary {
  std::string stage, dataset;
  std::int64_t items = 0, records = 0, pixel_bytes = 0;
  std::array<std::int64_t, 5> outcomes{};
  std::vector<ClassSummary> classes;
  std::vector<std::int64_t> mask_share_histogram;  // 20 bins of 5 %
  bool adds_up() const;                            // outcomes sum to items
};

StoreSummary summarize(const io::StoreReader& store);
std::string to_text(const StoreSummary& summary);
void add_to_page(Page& page, const StoreSummary& summary);

// Up to `count` items spread evenly over the classes: columns image | CDP | CIP (the image column is blank
// where the dataset's folder is not at hand). `dataset_root` may be empty.
std::vector<SheetRow> sample_rows(const io::StoreReader& store, const std::filesystem::path& dataset_root,
                                  std::size_t count);

}  // namespace deda::report
