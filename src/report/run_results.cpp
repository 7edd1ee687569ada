#include "report/run_results.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/files.h"
#include "io/formats/text_table.h"
#include "report/run_groups.h"

namespace deda::report {

namespace {

// history.csv: epoch, learning_rate, loss, then columns "accuracy.<group>" and "metric.<name>" in percent,
// empty where not evaluated.
std::vector<EpochRow> read_history(const std::filesystem::path& path) {
  std::vector<EpochRow> history;
  const io::TextTable table = io::read_csv(path);
  if (table.rows.empty()) return history;
  const std::vector<std::string>& header = table.rows[0].cells;
  constexpr std::string_view accuracy = "accuracy.", metric = "metric.";
  for (std::size_t i = 1; i < table.rows.size(); ++i) {
    const io::TextRow& row = table.rows[i];
    if (row.cells.size() != header.size())
      throw DataError("has another number of cells than the header", table.where(row));
    EpochRow epoch;
    for (std::size_t column = 0; column < header.size(); ++column) {
      const auto value = io::to_number(row.cells[column]);
      if (header[column] == "epoch")
        epoch.epoch = static_cast<std::int64_t>(value.value_or(0));
      else if (header[column] == "learning_rate")
        epoch.learning_rate = value.value_or(0);
      else if (header[column] == "loss")
        epoch.loss = value.value_or(0);
      else if (header[column].starts_with(accuracy) && value)
        epoch.accuracy[header[column].substr(accuracy.size())] = *value;
      else if (header[column].starts_with(metric) && value)
        epoch.accuracy[header[column].substr(metric.size())] = *value;
      else if (header[column] == "held_out_accuracy")
        epoch.held_out = value;
    }
    history.push_back(std::move(epoch));
  }
  return history;
}

// Read once in full here, so that a damaged one is named with its file and not met later.
Provenance read_provenance(const nlohmann::ordered_json& member, const std::filesystem::path& file) {
  Provenance provenance = provenance_from(member.dump(), file.string());
  values_by_key(provenance.settings, file.string());
  values_by_key(provenance.configuration, file.string());
  return provenance;
}

Accuracy read_accuracy(const nlohmann::ordered_json& entry) {
  return {entry.at("best"), entry.at("last"), entry.at("mean_last_10"), entry.at("images")};
}

void add_further(RunResults& run, const std::string& name, const nlohmann::ordered_json& entry) {
  run.further.push_back(name);
  run.accuracy[name] = read_accuracy(entry);
}

// Of every epoch from its groups, as the summary has it.
void add_mean_of_groups(RunResults& run) {
  if (run.accuracy.count(mean_of_groups_name) == 0) return;
  for (EpochRow& row : run.history) {
    double sum = 0;
    int groups = 0;
    for (const std::string& group : run.groups) {
      const auto found = row.accuracy.find(group);
      if (group == "all" || found == row.accuracy.end() || run.accuracy.at(group).images == 0) continue;
      sum += found->second;
      ++groups;
    }
    if (groups > 0) row.accuracy[mean_of_groups_name] = sum / groups;
  }
}

RunResults read_run(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "results.json";
  RunResults run;
  run.folder = folder;
  try {
    const auto json = nlohmann::ordered_json::parse(read_text(file));
    run.name = json.at("name");
    run.method = json.at("method");
    for (const auto& source : json.value("masks", std::vector<std::string>{}))
      run.masks += (run.masks.empty() ? "" : ", ") + source;
    run.network = json.at("network");
    run.dataset = json.at("dataset");
    run.seed = json.at("seed");
    run.epochs = json.at("epochs");
    run.epochs_done = json.at("epochs_done");
    run.finished = json.at("finished");
    run.ranks = json.at("ranks");
    run.seconds = json.at("seconds");
    run.images_per_second = json.at("images_per_second");
    run.data_wait_share = json.at("data_wait_share");
    if (const auto scaling = json.find("loss_scaling"); scaling != json.end() && !scaling->is_null())
      run.skipped_steps = scaling->at("skipped_steps").get<std::int64_t>();
    run.groups = json.at("groups").get<std::vector<std::string>>();
    for (const std::string& group : run.groups)
      run.accuracy[group] = read_accuracy(json.at("accuracy").at(group));
    run.objective = json.value("objective", "single_label");  // absent: made before there was another
    if (const auto mean = json.find("mean_of_groups"); mean != json.end() && !mean->is_null())
      add_further(run, mean_of_groups_name, *mean);
    if (const auto metrics = json.find("metrics"); metrics != json.end()) {
      for (const auto& [name, entry] : metrics->items()) add_further(run, name, entry);
    }
    if (const auto held_out = json.find("held_out"); held_out != json.end() && !held_out->is_null())
      run.held_out = read_accuracy(*held_out);
    if (json.contains("provenance")) run.provenance = read_provenance(json.at("provenance"), file);
  } catch (const nlohmann::json::exception& error) {
    throw DataError(std::string{"is damaged: "} + error.what(), file.string());
  }
  run.history = read_history(folder / "history.csv");
  add_mean_of_groups(run);
  return run;
}

}  // namespace

std::vector<RunResults> find_runs(const std::filesystem::path& folder, std::vector<std::string>& problems) {
  std::vector<std::filesystem::path> folders;
  if (std::filesystem::exists(folder / "results.json")) folders.push_back(folder);
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.is_directory() && std::filesystem::exists(entry.path() / "results.json"))
      folders.push_back(entry.path());
  }
  std::sort(folders.begin(), folders.end());
  std::vector<RunResults> runs;
  for (const auto& path : folders) {
    try {
      runs.push_back(read_run(path));
    } catch (const Error& damaged) {
      problems.emplace_back(damaged.what());
    }
  }
  return runs;
}

}  // namespace deda::report
