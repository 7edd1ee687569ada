// Stores of edited whole pictures, those that generative peers make: the source of an edit beside what became
// of it, the methods side by side (the paper's figure 6), and what CLIP says of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/store/record_store.h"
#include "report/contact_sheet.h"
#include "report/originals.h"

namespace deda::report {

// Whether the store was made by a generative peer; its name in `augment.method`, else empty.
std::string peer_of(const io::StoreReader& store);

struct EditSummary {
  std::string method;
  std::int64_t items = 0, edits = 0, into_other_classes = 0;
  std::int64_t scored = 0;                                     // edits that CLIP judged
  double mean_score = 0, lowest_score = 0, highest_score = 0;  // of these
};
EditSummary summarize_edits(const io::StoreReader& store);
std::string to_text(const EditSummary& summary);

struct EditSheet {
  std::vector<std::string> titles;
  std::vector<SheetRow> rows;
  std::int64_t shown = 0, missing_pictures = 0;
};
// Up to `count` sources spread evenly over the classes: the source, then of each store `edits` of it. Stores
// are matched by the path of the source; of Diff-Mix, which draws sources by chance, whatever there is.
EditSheet edit_sheet(const std::vector<const io::StoreReader*>& stores, const Originals& originals,
                     std::size_t count, std::size_t edits);

}  // namespace deda::report
