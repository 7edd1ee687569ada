// A table as lines of short texts: what terminals, LaTeX and the page show, each in its own dress.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "study/result_table.h"

namespace deda::study {

// One line of a row: one text per column, in the columns' order, then the average's where there is one.
struct TableLine {
  enum class Kind : std::uint8_t { ours, others, paper, to_paper, to_baseline, finding, p, seeds } kind;
  std::string name;  // "ours", "paper", "- Vanilla"
  std::vector<std::string> cells;
};

struct LineGroup {
  std::vector<std::string> labels;  // of the row
  std::vector<TableLine> lines;     // those that have any text, and always ours and seeds
};

struct HeaderSpan {
  std::string text;
  std::size_t columns = 1;
};

struct TableLines {
  std::vector<std::vector<HeaderSpan>> header;  // one row per column axis, at least one; equal labels are one
  std::vector<std::string> row_axes;
  std::vector<LineGroup> groups;
  std::size_t columns = 0;  // of texts
};

TableLines lines_of(const ResultTable& table);

// "Table 2: top-1 accuracy (%), last epoch. 87 of 108 cells." with the reasons following in `holes`.
std::string caption_of(const ResultTable& table);
// "last epoch".
std::string words_of(Value value);

}  // namespace deda::study
