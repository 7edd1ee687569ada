// Labels of a layout in the study's order: tables and figures are laid out by these, never by which run
// ended first.
#pragma once

#include <string>
#include <vector>

#include "study/cell_run.h"
#include "study/paper_numbers.h"
#include "study/study_file.h"

namespace deda::study {

// Values of an axis, varied or zipped key of the grids (by name; empty: all), in the study file's order.
std::vector<std::string> label_values(const Study& study, const std::vector<std::string>& grids,
                                      const std::string& label);

// All labels of the grids with their values.
KnownLabels known_labels(const Study& study, const std::vector<std::string>& grids);

// The runs of the grids (empty: all), in an order that does not depend on that of `runs`.
std::vector<const CellRun*> runs_of(const std::vector<CellRun>& runs, const std::vector<std::string>& grids);

// Values that stand in `runs`: first those of `order`, in its order, then others by text.
std::vector<std::string> values_in(const std::vector<const CellRun*>& runs, const std::string& label,
                                   const std::vector<std::string>& order);

// The labels that all of `runs` share.
Labels common_labels(const std::vector<const CellRun*>& runs);

// The run's value of `label`; empty where it has none.
std::string label_of(const CellRun& run, const std::string& label);

}  // namespace deda::study
