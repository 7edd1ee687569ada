// The paper's numbers, from CSV files (configs/studies/paper/numbers/README.md has the format), and which
// cells of a table they belong to.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "study/study_file.h"

namespace deda::study {

// The label of a group of test pictures: a column of these files and of tables, no axis.
inline constexpr const char* group_label = "group";

struct PaperNumber {
  Labels labels;            // under the names of axes: "method" -> "De-DA"
  double percent = 0;       // as printed
  std::int64_t images = 0;  // test pictures; 0: not told
  bool is_share = true;     // false: no whole number of right pictures gives it
  int line = 0;
};

// An average that the paper prints and its own cells do not give.
struct Misprint {
  std::string row;  // "CutMix"
  double printed = 0, recomputed = 0;
};

// A difference up to this is rounding: cells and average may each be cut off in the second digit.
inline constexpr double rounding_of_averages = 0.02;

// Values of axes, by name, each in its order; no values: any is right.
using KnownLabels = std::map<std::string, std::vector<std::string>>;

struct PaperNumbers {
  std::filesystem::path file;
  std::vector<PaperNumber> numbers;   // that can be matched, in the file's order
  std::vector<Misprint> misprints;    // in the file's order
  std::vector<std::string> problems;  // "FILE:LINE: what", for people

  // The number of the cell that has `labels`. Every label that both have must be equal, as text or as number.
  // Nothing where none fits, or several: those are ambiguous, and told in `problem` if it is given.
  const PaperNumber* find(const Labels& labels, std::string* problem = nullptr) const;
};

// Never throws for what a file holds: a report without the paper's numbers is still a report. `wanted`: axes
// that the file has to have a column for. Averages stand in averages.csv beside the file, under the digits of
// the file's name ("table2.csv": 2); their recomputation takes all cells of the file.
PaperNumbers read_paper_numbers(const std::filesystem::path& file, const KnownLabels& known,
                                const std::vector<std::string>& wanted);

// Equal texts, or texts of equal numbers: "0.5" and "0.50".
bool is_same_label(const std::string& a, const std::string& b);

}  // namespace deda::study
