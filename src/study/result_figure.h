// A figure of a study: panels of lines, bars or learning curves over the same runs as tables, with the
// paper's numbers beside ours. A pure function of the study and its runs, in any order.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "report/curves.h"
#include "study/cell_run.h"
#include "study/seed_cell.h"
#include "study/study_file.h"

namespace deda::study {

struct FigurePoint {
  std::string x;  // as labelled
  SeedCell cell;
  std::optional<double> paper;
};

struct FigureLine {
  std::string name;  // value of the series' axis; empty without one
  std::vector<FigurePoint> points;
};

struct FigurePanel {
  std::string title;
  std::string x_label;
  std::vector<std::string> x_values;  // in the study's order
  bool has_numbers = false;           // every x is a number, and stands at its place
  std::vector<FigureLine> lines;      // none of learning curves
  report::Curves curves;              // of kind curves
};

struct ResultFigure {
  FigureLayout layout;
  std::vector<FigurePanel> panels;
  std::string score;  // what its numbers are (score_title())
  bool has_paper = false;
  std::size_t points = 0, done = 0;  // cells: that there are, and with every seed
  std::vector<std::string> holes;    // sentences: what is missing, and why
  std::vector<std::string> notes;
};

ResultFigure lay_out(const Study& study, const FigureLayout& layout, const std::vector<CellRun>& runs);

inline constexpr int column_width = 520, page_width = 1120;  // pixels: of half of the page, and of all of it

// How wide the panel is drawn: many bars need more than half of the page.
int width_of(const ResultFigure& figure, const FigurePanel& panel);
// The panel as SVG markup.
std::string svg_of(const ResultFigure& figure, const FigurePanel& panel);
// What its lines, bands, bars and dashes are.
std::string caption_of(const ResultFigure& figure, const FigurePanel& panel);
// One line per point of every panel; of learning curves one per drawn epoch.
std::string to_csv(const ResultFigure& figure);

}  // namespace deda::study
