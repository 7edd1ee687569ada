#include "study/costs.h"

#include <algorithm>
#include <cmath>

namespace deda::study {
namespace {

using pipeline::Stage;

// The number before `unit` in "resnet18 448px b16": 448; 0 where there is none.
double number_before(const std::string& kind, const std::string& unit) {
  const auto end = kind.find(unit);
  if (end == std::string::npos) return 0;
  auto begin = end;
  while (begin > 0 && std::isdigit(static_cast<unsigned char>(kind[begin - 1])) != 0) --begin;
  return begin == end ? 0 : std::stod(kind.substr(begin, end - begin));
}

// Training pictures a second at 224 px: planning values for fp32 on a V100 and TF32 on an A100 (published
// throughputs, +-30 %); of one CPU core measured with ResNet-18 at 56 px (Xeon, AVX-512) and scaled by
// operations.
double pictures_per_second(const std::string& kind, Machine machine) {
  struct Row {
    const char* network;
    double cpu_core, v100, a100;
  };
  constexpr Row rows[] = {{"resnet18", 2.8, 960, 2240},
                          {"resnet50", 1.0, 360, 900},
                          {"densenet121", 1.0, 280, 640},
                          {"vit_b_16", 0.25, 100, 320}};
  for (const Row& row : rows) {
    if (kind.starts_with(row.network))
      return machine == Machine::cpu_core ? row.cpu_core : machine == Machine::v100 ? row.v100 : row.a100;
  }
  return machine == Machine::cpu_core ? 0.8 : 300;
}

constexpr double planning_side = 224;

}  // namespace

std::string kind_of(const Item& item) {
  return std::string{pipeline::name_of(item.node.stage)} + ' ' + item.node.work.kind;
}

double startup_seconds(Machine machine) {
  return machine == Machine::cpu_core ? 1.0 : 15.0;  // a GPU's context and libraries
}

std::vector<ScheduledItem> schedule_of(const StudyPlan& plan, std::size_t largest_node) {
  std::vector<ScheduledItem> items;
  for (const Item& item : plan.items) {
    const Stage stage = item.node.stage;
    items.push_back(
        {.seconds = 0,
         .least_slots = stage == Stage::train
                            ? std::min(static_cast<std::size_t>(std::max<std::int64_t>(1, plan.study.ranks)),
                                       std::max<std::size_t>(1, largest_node))
                            : 1,
         .spreads = stage == Stage::decouple || stage == Stage::invert || stage == Stage::tune ||
                    stage == Stage::generate,
         .needs = item.node.needs});
  }
  return items;
}

Costs::Costs(const StudyPlan& plan, Machine machine, std::map<std::string, MeasuredKind> short_runs)
    : plan_{plan}, machine_{machine}, short_runs_{std::move(short_runs)} {
  for (std::size_t i = 0; i < plan.items.size(); ++i) places_[plan.items[i].name] = i;
}

double Costs::guess(const Item& item) const {
  const auto& work = item.node.work;
  const bool on_cpu = machine_ == Machine::cpu_core;
  const double fast = machine_ == Machine::a100 ? 1.0 : 2.4;  // times an A100's seconds
  switch (item.node.stage) {
    case Stage::toy:
      return work.amount * 0.05;
    case Stage::decouple: {
      const bool networks =
          work.kind.find("sam") != std::string::npos || work.kind.find("semantic") != std::string::npos;
      return work.amount * (networks ? on_cpu ? 20.0 : 0.5 * fast : 0.05);
    }
    case Stage::invert:
    case Stage::tune:
    case Stage::generate: {
      const double side = std::max(64.0, number_before(work.kind, "px"));
      const double full = 512;
      const bool guided = work.kind.find("guided") != std::string::npos;
      // A sample of inversion 0.026 s, an edited CDP 0.42 s on an A100 at 512 px; the toy model on a CPU is
      // small.
      const double each = item.node.stage != Stage::generate
                              ? (on_cpu ? 0.9 : 0.026 * fast)
                              : (on_cpu ? 14.0 : 0.42 * fast) * (guided ? 1.0 : 0.6);
      return work.amount * each * std::pow(side / full, 2);
    }
    case Stage::train: {
      const double side = std::max(1.0, number_before(work.kind, "px"));
      return work.amount / pictures_per_second(work.kind, machine_) * std::pow(side / planning_side, 2);
    }
  }
  return 0;
}

void Costs::learn(const std::map<std::string, std::map<std::int64_t, Attempt>>& attempts) {
  by_kind_.clear();
  by_stage_.clear();
  for (const auto& [name, numbers] : attempts) {
    const auto place = places_.find(name);
    if (place == places_.end()) continue;
    const Item& item = plan_.items[place->second];
    double seconds = 0, share = 0;
    for (const auto& [number, attempt] : numbers) {
      if (!attempt.outcome || attempt.ended <= attempt.started) continue;
      if (*attempt.outcome != Outcome::done && *attempt.outcome != Outcome::stopped) continue;
      const double done = attempt.work_after - attempt.work_before;
      if (done <= 0) continue;
      share += done;
      seconds += std::max(0.0, attempt.ended - attempt.started - startup_seconds(machine_)) *
                 static_cast<double>(std::max<std::int64_t>(1, attempt.slots));
    }
    if (share <= 0) continue;
    for (auto* sums : {&by_kind_, &by_stage_}) {
      Sum& sum = (*sums)[sums == &by_kind_ ? kind_of(item) : std::string{pipeline::name_of(item.node.stage)}];
      sum.seconds += seconds;
      sum.amount += share * item.node.work.amount;
      sum.guessed += share * guess(item);
      ++sum.items;
    }
  }
}

Prediction Costs::of(const Item& item) const {
  if (const auto kind = by_kind_.find(kind_of(item)); kind != by_kind_.end() && kind->second.amount > 0)
    return {startup_seconds(machine_) + item.node.work.amount * kind->second.seconds / kind->second.amount,
            Prediction::Source::measured};
  if (const auto known = short_runs_.find(kind_of(item)); known != short_runs_.end())
    return {known->second.start_s + item.node.work.amount * known->second.unit_s,
            Prediction::Source::short_runs};
  const double guessed = guess(item);
  const auto stage = by_stage_.find(std::string{pipeline::name_of(item.node.stage)});
  if (stage != by_stage_.end() && stage->second.guessed > 0)
    return {startup_seconds(machine_) + guessed * stage->second.seconds / stage->second.guessed,
            Prediction::Source::scaled};
  return {startup_seconds(machine_) + guessed, Prediction::Source::guess};
}

std::int64_t Costs::measured(const Item& item) const {
  const auto found = by_kind_.find(kind_of(item));
  return found == by_kind_.end() ? 0 : found->second.items;
}

}  // namespace deda::study
