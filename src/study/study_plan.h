// A study resolved: every cell's run, and the items (stage calls) that make them, equal ones once. Known
// before anything runs; without MPI, networks or a GPU.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "pipeline/plan.h"
#include "study/cell_run.h"
#include "study/study_file.h"

namespace deda::study {

// One call of a stage. Its name is unique in an output folder: equal names are equal results.
struct Item {
  std::string name;     // "train-3f6c2a9b01d4e5f6"
  pipeline::Node node;  // `needs` are positions in StudyPlan::items
  // One place where it is wanted, for people: "De-DA, resnet18, CUB, seed 1".
  std::string title;
};

// One run of one grid's point.
struct Cell {
  Labels labels;
  std::string grid;
  std::int64_t seed = 0;
  std::size_t item = 0;  // of the training
};

struct StudyPlan {
  Study study;
  std::filesystem::path output;
  std::vector<Item> items;  // each after what it needs
  std::vector<Cell> cells;  // in the order of grids, points and seeds
  std::vector<std::string> notes;
  std::vector<std::string> left_out;  // optional grids that were not asked for, with their reason

  const Item* find(const std::string& name) const;
  std::filesystem::path folder() const;  // OUTPUT/study-NAME: plan, ledger, logs, reports
};

struct PlanOptions {
  std::filesystem::path output;                          // overrules the study's; empty: the study's
  std::vector<std::int64_t> seeds;                       // overrules all; empty: the study's
  std::vector<std::string> settings;                     // "a.b=v" over everything
  std::map<std::string, std::vector<std::string>> only;  // axis -> values: points with others are left out
  std::vector<std::string> with;                         // optional grids to take in, by name; "all"
  std::int64_t ranks = 0, threads = 0;                   // overrule the study's; 0: the study's
};

// Where the study's results live: what it says, else run.output of its first grid's configurations.
std::filesystem::path output_of(const Study& study);

// Reads every resolved configuration, the datasets' files and the digests of what settings name. One
// ConfigError (or DataError, where data is what is missing) lists every problem once, with the runs that it
// hits.
StudyPlan plan_study(Study study, const PlanOptions& options, FileDigests& digests);

// plan.json in the study's folder: what drivers, status and report work from.
std::string to_json(const StudyPlan& plan);
StudyPlan study_plan_from(const std::string& json, const std::string& where);

// The cells as tables see them, where nothing but what is on disk is known: done runs with their numbers.
std::vector<CellRun> cell_runs(const StudyPlan& plan);

}  // namespace deda::study
