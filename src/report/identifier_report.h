// What `deda invert` learnt, as its folder tells: identifiers.json and the loss curves that it names.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "report/page.h"

namespace deda::report {

struct IdentifierRow {
  std::string class_name, placeholder, outcome, reason, initial_word;
  std::int64_t cdps = 0;
  std::optional<double> loss_first, loss_last, held_out_word, held_out_after;
  std::optional<double> cosine;                       // to what it started from
  std::vector<std::pair<double, double>> loss_curve;  // (step, loss)
};

struct IdentifierSummary {
  std::filesystem::path folder;
  std::vector<IdentifierRow> classes;
};

bool is_identifier_folder(const std::filesystem::path& folder);
// DataError when the manifest or a curve is damaged.
IdentifierSummary read_identifiers(const std::filesystem::path& folder);
std::string to_text(const IdentifierSummary& summary);
void add_to_page(Page& page, const IdentifierSummary& summary);

}  // namespace deda::report
