// How long items take: measured here where anything of their kind has run, else a guess. Nothing is decided
// by it but the order of items and what people are told.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "study/ledger.h"
#include "study/schedule.h"
#include "study/study_plan.h"

namespace deda::study {

// What the guess is made for.
enum class Machine : std::uint8_t { cpu_core, v100, a100 };

struct Prediction {
  double seconds = 0;  // on one slot
  enum class Source : std::uint8_t {
    measured,    // items of this kind have run in this output folder
    short_runs,  // `deda study plan --measure` has run two short ones (measure.h)
    scaled,      // others of its stage have run: the guess times their ratio
    guess,
  } source = Source::guess;
};

// What short runs tell of a kind, in slot seconds: an item takes start_s + amount * unit_s.
struct MeasuredKind {
  double start_s = 0, unit_s = 0;
};

// Stage and Work::kind: all that the time of a unit depends on beside the machine.
std::string kind_of(const Item& item);

class Costs {
 public:
  // `short_runs`: what short runs told, by kind.
  Costs(const StudyPlan& plan, Machine machine, std::map<std::string, MeasuredKind> short_runs = {});
  // Takes in what has ended since; attempts of other studies of the output folder count where their item is
  // known.
  void learn(const std::map<std::string, std::map<std::int64_t, Attempt>>& attempts);
  Prediction of(const Item& item) const;
  // Items of the kind that were measured.
  std::int64_t measured(const Item& item) const;

 private:
  struct Sum {
    double seconds = 0, amount = 0, guessed = 0;
    std::int64_t items = 0;
  };
  double guess(const Item& item) const;  // seconds without start-up
  const StudyPlan& plan_;
  Machine machine_;
  std::map<std::string, MeasuredKind> short_runs_;
  std::map<std::string, Sum> by_kind_, by_stage_;
  std::map<std::string, std::size_t> places_;  // of items by name
};

// Start of a process, reading of datasets and weights: of every attempt.
double startup_seconds(Machine machine);

// A plan's items as a schedule needs them, all with 0 seconds: a training takes a slot for each of the
// study's ranks, as far as one node has them (`largest_node` slots); stages whose result does not depend on
// ranks start on one and spread.
std::vector<ScheduledItem> schedule_of(const StudyPlan& plan, std::size_t largest_node);

}  // namespace deda::study
