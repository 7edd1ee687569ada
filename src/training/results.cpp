#include "training/results.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/files.h"

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
  nlohmann::ordered_json accuracy = nlohmann::ordered_json::object();
  for (std::size_t group = 0; group < run.groups.size(); ++group) {
    const auto summary = summarise(state, group);
    accuracy[run.groups[group]] = {{"best", summary.best},
                                   {"last", summary.last},
                                   {"mean_last_10", summary.mean_last_10},
                                   {"images", summary.images}};
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
      {"groups", run.groups},
      {"accuracy", accuracy},
      {"held_out", held_out},
      {"left_out_per_epoch", run.left_out},
      {"loss_scaling", loss_scaling},
      {"provenance", nlohmann::ordered_json::parse(to_json(run.made_of))},
  };
  return results.dump(2) + "\n";
}

std::string history_csv(const RunDescription& run, const TrainingState& state) {
  std::string text = "epoch,learning_rate,loss";
  for (const auto& group : run.groups) text += "," + csv_field("accuracy." + group);
  if (run.held_out > 0) text += ",held_out_accuracy";
  text += "\n";
  for (const auto& record : state.history) {
    text += fmt::format("{},{},{}", record.epoch, record.learning_rate, record.loss);
    for (std::size_t group = 0; group < run.groups.size(); ++group) {
      text += group < record.scores.size() ? fmt::format(",{:.4f}", percent * record.scores[group].accuracy())
                                           : ",";
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
