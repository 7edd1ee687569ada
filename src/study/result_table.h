// A table of a study: for each cell the mean over seeds, the paper's number, the difference to the baseline,
// and where there is no number, why. A pure function of the study and its runs, in any order.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "study/cell_run.h"
#include "study/paper_numbers.h"
#include "study/seed_cell.h"
#include "study/seed_statistics.h"
#include "study/study_file.h"

namespace deda::study {

// Ours beside the paper's: outside where the two 95 % intervals do not touch. Ours: Student's for
// seeds_for_interval seeds and more, else that of the test set; the paper's: that of the test set.
enum class PaperCheck : std::uint8_t { not_possible, within, above, below };
std::string_view name_of(PaperCheck check);

// "better" and "worse" only where the interval of the paired difference excludes 0.
enum class Finding : std::uint8_t { none, better, worse, not_told_apart };
std::string_view name_of(Finding finding);

struct ToBaseline {
  PairedDifference paired;  // by seed
  std::optional<double> p;  // Holm's, over the rows of the column; where there is an interval
  Finding finding = Finding::none;
  // The interval excludes 0, but among so many rows that may be chance (p over 0.05).
  bool falls_to_holm = false;
};

struct ResultCell {
  Labels labels;  // of rows, columns and what all its runs share
  SeedCell cell;
  std::optional<double> paper;
  std::int64_t paper_images = 0;   // 0: not told
  std::optional<double> to_paper;  // ours - paper, points
  PaperCheck check = PaperCheck::not_possible;
  std::optional<ToBaseline> to_baseline;
  std::string no_difference;  // a sentence, where there could be one and is none
};

// Mean over a row's columns; nothing of ours where a column is missing.
struct AverageCell {
  Estimate ours;  // over seeds, of the seeds' means over columns; n = 0: none
  std::vector<double> by_seed;
  std::vector<std::int64_t> seeds;
  std::string reason;                 // why there is none
  std::optional<double> least_error;  // one seed: of the test sets
  std::optional<double> paper;        // from the paper's cells, not from its average
  std::optional<double> to_paper;
  PaperCheck check = PaperCheck::not_possible;
  std::optional<ToBaseline> to_baseline;
};

struct ResultRow {
  std::vector<std::string> labels;  // one per row axis
  bool is_baseline = false;
  std::vector<ResultCell> cells;  // one per column
  AverageCell average;
  std::optional<OverColumns> over_columns;  // against the baseline; where every column can be compared
};

struct ResultTable {
  TableLayout layout;
  std::vector<std::vector<std::string>> columns;  // labels, one per column axis; one empty one without axes
  std::vector<ResultRow> rows;
  std::string score;               // what its numbers are (score_title())
  bool has_paper = false;          // any number of the paper's
  std::size_t cells = 0;           // that the study has
  std::size_t done = 0;            // with every seed
  std::vector<std::string> holes;  // sentences: what is missing, and why; equal reasons together
  std::vector<std::string> notes;  // sentences: what to know of the numbers
};

ResultTable lay_out(const Study& study, const TableLayout& layout, const std::vector<CellRun>& runs);

// "87 of 108 cells".
std::string progress_of(const ResultTable& table);
// The labels of a row or column, the outermost first: "resnet18/CUB".
std::string name_of(const std::vector<std::string>& labels);

}  // namespace deda::study
