// A study's plan for people and for other engines.
#pragma once

#include <string>

#include "study/status.h"
#include "study/study_plan.h"

namespace deda::study {

// Counts, hours, disk: what `deda study plan` prints.
std::string plan_text(const StudyPlan& plan, const StudyStatus& status);

// How commands are written: as the local launcher starts them, since results follow a training's ranks and,
// on a CPU, threads.
struct Engine {
  std::string program = "deda";
  bool on_cpu = false;     // whether the study's threads are part of a command
  bool left_only = false;  // without what is done
};

// Which cells want an item, and what it was made of. `item`: its name, or the beginning of its name or key.
// ConfigError where there is none, or several.
std::string why_text(const StudyPlan& plan, const std::string& item, const Engine& engine);

// A shell line per item in an order in which each comes after what it needs, in waves.
std::string as_commands(const StudyPlan& plan, const Engine& engine);
// A Snakefile: a rule per item.
std::string as_snakemake(const StudyPlan& plan, const Engine& engine);

}  // namespace deda::study
