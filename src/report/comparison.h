// Runs side by side: grouped by method, per seed, mean and spread, and the difference to plain training.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "report/page.h"
#include "report/run_results.h"

namespace deda::report {

struct MethodSummary {
  std::string method;  // "plain", "deda", ... as configured
  std::string masks;   // sources of its parts' masks, where the comparison holds several; else empty
  std::vector<std::int64_t> seeds;                  // ascending, finished runs only
  std::map<std::string, std::vector<double>> last;  // group -> last-epoch accuracy by seed (percent)
  std::map<std::string, std::vector<double>> best;  // group -> best accuracy by seed
};

struct Comparison {
  std::string dataset, network;
  std::vector<std::string> groups;     // "all" first
  std::vector<MethodSummary> methods;  // plain first, then by name
  std::vector<std::string> notes;      // what is missing or unequal, in words
};

// One comparison per (dataset, network, epochs); runs that are not finished are named in the notes.
std::vector<Comparison> compare(const std::vector<RunResults>& runs);

double mean(const std::vector<double>& values);
// Sample standard deviation (n - 1); 0 for fewer than two values.
double deviation(const std::vector<double>& values);

// A row per method and seed, a mean row per method with the deviation, and the difference to plain.
std::string to_text(const Comparison& comparison);
void add_to_page(Page& page, const Comparison& comparison, const std::vector<RunResults>& runs);

// Name for people, with the masks' sources if given: "plain" -> "Plain", "deda" -> "De-DA"; others as they
// are.
std::string method_title(const std::string& method, const std::string& masks = {});

}  // namespace deda::report
