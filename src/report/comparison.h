// Runs side by side: grouped by everything but the seed; per seed, mean and spread, and the difference to
// plain training with the same settings.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "report/page.h"
#include "report/run_results.h"
#include "report/statistics.h"

namespace deda::report {

// Runs that differ in nothing but the seed.
struct MethodSummary {
  std::string method;          // "plain", "deda", ... as configured
  std::string masks;           // sources of its parts' masks, where the comparison holds several; else empty
  bool settings_known = true;  // false: one run of an earlier program, which did not record its settings
  std::vector<std::string> settings;  // one cell per Comparison::columns; "-": no effect on this method
  std::vector<std::int64_t> seeds;    // ascending, finished runs only
  std::vector<std::string> kinds;     // by seed: letter of Comparison::kinds, "-" where it is not known
  std::map<std::string, std::vector<double>> last;  // group -> last-epoch accuracy by seed (percent)
  std::map<std::string, std::vector<double>> best;  // group -> best accuracy by seed
  std::optional<std::size_t>
      plain;  // in Comparison::methods: plain training, equal in all that both trained with
};

// Runs that make one line of the charts.
struct Curve {
  std::string name;
  std::vector<std::filesystem::path> folders;  // of the runs
};

struct Comparison {
  std::string dataset, network;
  std::int64_t epochs = 0;
  std::vector<std::string> columns;  // headings of what the methods' settings differ in, as "p_aug"
  // Of test pictures, "all" first, then what else runs were judged by, held-out training pictures last.
  std::vector<std::string> groups;
  std::string score = "top-1 accuracy";  // what the groups' numbers are; of several labels "exact match"
  std::vector<MethodSummary> methods;    // plain first, then by name and settings
  std::vector<std::string> kinds;  // of processor or device, A, B, ...: equal results are promised on one
  std::vector<std::string> notes;  // what is missing or unequal, in words
  std::vector<Curve> curves;       // of the methods, then of unfinished runs, each alone
};

// One comparison per (dataset, network, epochs, objective); runs that are not finished, not comparable or
// there twice are named in the notes.
std::vector<Comparison> compare(const std::vector<RunResults>& runs);

// A row per method and seed, a mean row per method with the deviation, and the difference to plain. Where the
// runs were computed on several kinds of processors or devices a column tells which, and marks means over
// several.
std::string to_text(const Comparison& comparison);
// The same, and the curves of those of `runs` that the comparison was made of.
void add_to_page(Page& page, const Comparison& comparison, const std::vector<RunResults>& runs);

// Name for people, with the masks' sources if given: "plain" -> "Plain", "deda" -> "De-DA"; others as they
// are.
std::string method_title(const std::string& method, const std::string& masks = {});

}  // namespace deda::report
