#include "training/objective.h"

#include "training/objectives.h"

namespace deda::training {

std::unique_ptr<Objective> make_objective(const TrainConfig& config) {
  return config.objective == ObjectiveChoice::multi_label ? make_multi_label()
                                                          : make_single_label(config.label_smoothing);
}

std::int32_t group_of(const TestSamples& samples, std::int64_t index) {
  const auto place = static_cast<std::size_t>(index);
  return place < samples.group_of.size() ? samples.group_of[place] : -1;
}

std::vector<GroupScore> scores_of(const TestSamples& samples, const std::vector<std::int64_t>& counts) {
  std::vector<GroupScore> scores;
  for (std::size_t i = 0; i <= samples.groups.size(); ++i)
    scores.push_back({i == 0 ? "all" : samples.groups[i - 1], counts.at(2 * i), counts.at(2 * i + 1)});
  return scores;
}

}  // namespace deda::training
