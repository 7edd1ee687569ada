#include "training/results.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "training/objective_names.h"

namespace deda::training {
namespace {

constexpr std::size_t averaged_evaluations = 10;

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string{"\"\""} : std::string{c};
  return quoted + "\"";
}

void add_last(GroupSummary& summary, const std::vector<double>& accuracies) {
  if (accuracies.empty()) return;
  summary.last = accuracies.back();
  const std::size_t count = std::min(averaged_evaluations, accuracies.size());
  for (std::size_t i = accuracies.size() - count; i < accuracies.size(); ++i)
    summary.mean_last_10 += accuracies[i] / static_cast<double>(count);
}

nlohmann::ordered_json summary_json(const GroupSummary& summary) {
  return {{"best", summary.best},
          {"last", summary.last},
          {"mean_last_10", summary.mean_last_10},
          {"images", summary.images}};
}

}  // namespace

GroupSummary summarise(const TrainingState& state, std::size_t group) {
  GroupSummary summary;
  std::vector<double> accuracies;
  for (const auto& record : state.history) {
    if (group >= record.scores.size()) continue;
    const auto& score = record.scores[group];
    accuracies.push_back(percent * score.accuracy());
    summary.images = score.total;
    if (record.epoch == state.best_epoch) summary.best = accuracies.back();
  }
  add_last(summary, accuracies);
  return summary;
}

namespace {

// Of what `value_of` makes of an evaluated epoch; nothing where it makes nothing of any.
template <class ValueOf>
std::optional<GroupSummary> summarise_values(const TrainingState& state, const ValueOf& value_of) {
  GroupSummary summary;
  std::vector<double> values;
  for (const auto& record : state.history) {
    const std::optional<double> value = value_of(record, summary.images);
    if (!value) continue;
    values.push_back(percent * *value);
    if (record.epoch == state.best_epoch) summary.best = values.back();
  }
  if (values.empty()) return std::nullopt;
  add_last(summary, values);
  return summary;
}

}  // namespace

std::optional<double> mean_of_groups(const std::vector<GroupScore>& scores) {
  double sum = 0;
  std::int64_t groups = 0, pictures = 0, most = 0;
  for (std::size_t i = 1; i < scores.size(); ++i) {
    if (scores[i].total == 0) continue;
    sum += scores[i].accuracy();
    pictures += scores[i].total;
    most = std::max(most, scores[i].total);
    ++groups;
  }
  if (groups == 0) return std::nullopt;
  const bool is_share_of_all = groups * most == pictures && pictures == scores.front().total;
  if (is_share_of_all) return std::nullopt;
  return sum / static_cast<double>(groups);
}

std::optional<GroupSummary> summarise_mean_of_groups(const TrainingState& state) {
  return summarise_values(state, [](const EpochRecord& record, std::int64_t& images) {
    const auto mean = mean_of_groups(record.scores);
    if (mean) images = 0;
    for (std::size_t i = 1; mean && i < record.scores.size(); ++i) images += record.scores[i].total;
    return mean;
  });
}

std::optional<GroupSummary> summarise_metric(const TrainingState& state, std::string_view name) {
  return summarise_values(state,
                          [&](const EpochRecord& record, std::int64_t& images) -> std::optional<double> {
                            for (const Metric& metric : record.metrics) {
                              if (metric.name != name) continue;
                              images = record.scores.empty() ? 0 : record.scores.front().total;
                              return metric.value;
                            }
                            return std::nullopt;
                          });
}

std::optional<HeldOutSummary> summarise_held_out(const TrainingState& state) {
  HeldOutSummary summary;
  std::vector<double> accuracies;
  for (const auto& record : state.history) {
    if (!record.held_out) continue;
    accuracies.push_back(percent * record.held_out->accuracy());
    summary.accuracy.images = record.held_out->total;
    if (summary.best_epoch > 0 && accuracies.back() <= summary.accuracy.best) continue;
    summary.accuracy.best = accuracies.back();
    summary.best_epoch = record.epoch;
  }
  if (accuracies.empty()) return std::nullopt;
  add_last(summary.accuracy, accuracies);
  return summary;
}

std::string results_json(const RunDescription& run, const TrainingState& state) {
  double seconds = 0, waited = 0, images = 0;
  std::int64_t evaluations = 0;
  for (const auto& record : state.history) {
    seconds += record.seconds;
    waited += record.waited_s;
    images += record.images_per_s * record.seconds;
    evaluations += record.scores.empty() ? 0 : 1;
  }
  nlohmann::ordered_json accuracy = nlohmann::ordered_json::object(), metrics = accuracy, of_groups;
  for (std::size_t group = 0; group < run.groups.size(); ++group)
    accuracy[run.groups[group]] = summary_json(summarise(state, group));
  if (const auto summary = summarise_mean_of_groups(state)) of_groups = summary_json(*summary);
  for (const auto name : metric_names_of(run.objective)) {
    if (const auto summary = summarise_metric(state, name))
      metrics[std::string{name}] = summary_json(*summary);
  }
  nlohmann::ordered_json held_out;  // null where no picture is held out
  if (const auto summary = summarise_held_out(state)) {
    held_out = {{"share", run.held_out},          {"images", summary->accuracy.images},
                {"best", summary->accuracy.best}, {"best_epoch", summary->best_epoch},
                {"last", summary->accuracy.last}, {"mean_last_10", summary->accuracy.mean_last_10}};
  }
  nlohmann::ordered_json loss_scaling;  // null but for fp16
  if (const auto& scale = state.loss_scale)
    loss_scaling = {{"scale", scale->scale}, {"skipped_steps", scale->skipped}, {"steps", state.global_step}};
  const nlohmann::ordered_json results = {
      {"schema", "deda-results-1"},
      {"name", run.name},
      {"method", run.method},
      {"masks", run.masks},
      {"network", run.network},
      {"dataset", run.dataset},
      {"seed", run.seed},
      {"epochs", run.epochs},
      {"epochs_done", static_cast<std::int64_t>(state.history.size())},
      {"finished", state.epoch > run.epochs},
      {"failure", state.failure},
      {"ranks", run.ranks},
      {"seconds", seconds},
      {"images_per_second", seconds > 0 ? images / seconds : 0.0},
      {"data_wait_share", seconds > 0 ? waited / seconds : 0.0},
      {"evaluations", evaluations},
      {"best_epoch", state.best_epoch},
      {"objective", std::string{name_of(run.objective)}},
      {"groups", run.groups},
      {"accuracy", accuracy},
      {"mean_of_groups", of_groups},
      {"metrics", metrics},
      {"held_out", held_out},
      {"left_out_per_epoch", run.left_out},
      {"loss_scaling", loss_scaling},
      {"left_unmixed", state.left_unmixed},
      {"provenance", nlohmann::ordered_json::parse(to_json(run.made_of))},
  };
  return results.dump(2) + "\n";
}

std::string history_csv(const RunDescription& run, const TrainingState& state) {
  std::string text = "epoch,learning_rate,loss";
  for (const auto& group : run.groups) text += "," + csv_field("accuracy." + group);
  for (const auto name : metric_names_of(run.objective)) text += fmt::format(",metric.{}", name);
  if (run.held_out > 0) text += ",held_out_accuracy";
  text += "\n";
  for (const auto& record : state.history) {
    text += fmt::format("{},{},{}", record.epoch, record.learning_rate, record.loss);
    for (std::size_t group = 0; group < run.groups.size(); ++group) {
      text += group < record.scores.size() ? fmt::format(",{:.4f}", percent * record.scores[group].accuracy())
                                           : ",";
    }
    for (const auto name : metric_names_of(run.objective)) {
      const auto metric = std::find_if(record.metrics.begin(), record.metrics.end(),
                                       [&](const Metric& each) { return each.name == name; });
      text += metric == record.metrics.end() ? "," : fmt::format(",{:.4f}", percent * metric->value);
    }
    if (run.held_out > 0)
      text += record.held_out ? fmt::format(",{:.4f}", percent * record.held_out->accuracy()) : ",";
    text += "\n";
  }
  return text;
}

void write_results(const std::filesystem::path& folder, const RunDescription& run,
                   const TrainingState& state) {
  write_atomically(folder / "history.csv", history_csv(run, state));
  write_atomically(folder / "results.json", results_json(run, state));
}

}  // namespace deda::training
