// How long items take: measured here where anything of their kind has run, else a guess. Nothing is decided
// by it but the order of items and what people are told.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "study/ledger.h"
#include "study/study_plan.h"

namespace deda::study {

// What the guess is made for.
enum class Machine : std::uint8_t { cpu_core, v100, a100 };

struct Prediction {
  double seconds = 0;  // on one slot
  enum class Source : std::uint8_t {
    measured,  // items of this kind have run in this output folder
    scaled,    // others of its stage have: the guess times their ratio
    guess,
  } source = Source::guess;
};

class Costs {
 public:
  Costs(const StudyPlan& plan, Machine machine);
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
  std::map<std::string, Sum> by_kind_, by_stage_;  // kind: stage and Work::kind
  std::map<std::string, std::size_t> places_;      // of items by name
};

// Start of a process, reading of datasets and weights: of every attempt.
double startup_seconds(Machine machine);

// Whether a stage may be spread over several slots: its result does not depend on the number of ranks.
bool takes_several_slots(pipeline::Stage stage);

}  // namespace deda::study
