#include "pipeline/state.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"
#include "data/toy.h"
#include "io/store/folder_lock.h"
#include "io/store/record_store.h"

namespace deda::pipeline {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view result_of(Stage stage) {
  switch (stage) {
    case Stage::toy:
      return "toy.json";
    case Stage::decouple:
    case Stage::generate:
      return "manifest.json";
    case Stage::invert:
      return "identifiers.json";
    case Stage::tune:
      return "tuning.json";
    case Stage::train:
      return "results.json";
  }
  return "";
}

nlohmann::json read_object(const fs::path& file) {
  auto json = nlohmann::json::parse(read_text(file), nullptr, false);
  if (!json.is_object()) throw DataError("is no JSON object", file.string());
  return json;
}

// Every result but the toy dataset keeps its key in its provenance.
std::string key_in(const nlohmann::json& result) {
  const auto provenance = result.find("provenance");
  if (provenance == result.end() || !provenance->is_object()) return {};
  const auto key = provenance->find("key");
  return key != provenance->end() && key->is_string() ? key->get<std::string>() : std::string{};
}

double share_of(double done, double all) {
  return all > 0 ? std::clamp(done / all, 0.0, 1.0) : 0.0;
}

NodeState toy_state(const Node& node) {
  const auto record = data::read_toy_record(node.folder);
  if (!record) return {Progress::missing, {}};
  const auto settings = nlohmann::json::parse(record->settings);
  for (const auto& setting : node.settings) {
    const std::string name = setting.key.substr(setting.key.find('.') + 1);
    if (!settings.contains(name) || settings[name] != nlohmann::json::parse(setting.json))
      return {Progress::conflict,
              fmt::format("{} holds a toy dataset with another {}", node.folder.string(), name)};
  }
  return {Progress::done, {}, 1};
}

NodeState store_state(const Node& node) {
  if (!fs::exists(node.folder / result_of(node.stage))) return {Progress::partial, {}};
  if (io::store_is_complete(node.folder)) return {Progress::done, {}, 1};
  try {
    const auto count = io::StoreReader(node.folder, io::StoreReader::Check::sizes, true).outcomes();
    const auto all = io::read_description(node.folder).sources.size();
    return {Progress::partial, fmt::format("{} of {} items", count.items, all),
            share_of(static_cast<double>(count.items), static_cast<double>(all))};
  } catch (const DataError& error) {  // a segment is missing or damaged: the stage makes it anew
    return {Progress::partial, to_string(error.problems().front())};
  }
}

NodeState identifier_state(const Node& node) {
  const auto manifest = node.folder / result_of(node.stage);
  if (!fs::exists(manifest)) return {Progress::partial, {}};
  const auto json = read_object(manifest);
  std::size_t missing = 0;
  for (const auto& record : json.at("classes")) {
    for (const auto& file : record.at("files"))
      missing += fs::exists(node.folder / file.at("name").get<std::string>()) ? 0 : 1;
  }
  if (missing > 0) return {Progress::partial, fmt::format("{} files are missing", missing)};
  return {Progress::done, {}, 1};
}

NodeState tuning_state(const Node& node) {
  const auto file = node.folder / result_of(node.stage);
  if (!fs::exists(file)) return {Progress::partial, {}};
  std::size_t missing = 0;
  for (const auto& entry : read_object(file).at("files"))
    missing += fs::exists(node.folder / entry.at("name").get<std::string>()) ? 0 : 1;
  if (missing > 0) return {Progress::partial, fmt::format("{} files are missing", missing)};
  return {Progress::done, {}, 1};
}

NodeState train_state(const Node& node) {
  const auto results = node.folder / result_of(node.stage);
  if (!fs::exists(results)) return {Progress::partial, {}};
  const auto json = read_object(results);
  if (json.value("finished", false) && json.value("failure", std::string{}).empty() &&
      fs::exists(node.folder / "last.safetensors"))
    return {Progress::done, {}, 1};
  const auto done = json.value("epochs_done", 0), all = json.value("epochs", 0);
  return {Progress::partial, fmt::format("{} of {} epochs", done, all), share_of(done, all)};
}

}  // namespace

std::string_view name_of(Progress progress) {
  switch (progress) {
    case Progress::missing:
      return "missing";
    case Progress::partial:
      return "partial";
    case Progress::done:
      return "done";
    case Progress::held:
      return "held";
    case Progress::conflict:
      return "conflict";
    case Progress::damaged:
      return "damaged";
  }
  return "";
}

NodeState state_of(const Node& node) {
  try {
    if (node.stage == Stage::toy) return toy_state(node);
    std::error_code error;
    if (!fs::is_directory(node.folder, error)) return {Progress::missing, {}};
    if (const auto holder = io::holder_of(node.folder); !holder.empty()) return {Progress::held, holder};
    switch (node.stage) {
      case Stage::decouple:
      case Stage::generate:
        return store_state(node);
      case Stage::invert:
        return identifier_state(node);
      case Stage::tune:
        return tuning_state(node);
      default:
        return train_state(node);
    }
  } catch (const Error& error) {
    return {Progress::damaged, to_string(error.problems().front())};
  } catch (const nlohmann::json::exception& error) {
    return {Progress::damaged,
            fmt::format("{}: {}", (node.folder / result_of(node.stage)).string(), error.what())};
  } catch (const fs::filesystem_error& error) {
    return {Progress::damaged, fmt::format("{}: {}", error.path1().string(), error.code().message())};
  }
}

namespace {

// Results that hold work; not logs, locks, partial files and the tables that a stage writes at its beginning.
bool holds_work(const std::string& name) {
  static const std::regex work(
      R"((segment|class|unit|checkpoint)-.*\.(h5|safetensors|csv|json)|last\.safetensors)");
  static const std::regex begun(R"(checkpoint-0*1-0+\.safetensors|unit-\d+-0+\.safetensors)");
  return std::regex_match(name, work) && !std::regex_match(name, begun);
}

}  // namespace

std::string progress_mark(const Plan& plan) {
  std::vector<std::string> lines;
  for (const Node& node : plan.nodes) {
    if (state_of(node).progress == Progress::done) lines.push_back(node.key + " done");
    if (node.stage == Stage::toy) continue;
    std::error_code error;
    fs::recursive_directory_iterator entries(node.folder, fs::directory_options::skip_permission_denied,
                                             error);
    for (const fs::recursive_directory_iterator end; !error && entries != end; entries.increment(error)) {
      if (!holds_work(entries->path().filename().string())) continue;
      std::error_code vanished;
      const auto bytes = entries->file_size(vanished);
      if (!vanished)
        lines.push_back(fmt::format("{} {} {}", node.key,
                                    entries->path().lexically_relative(node.folder).string(), bytes));
    }
  }
  std::sort(lines.begin(), lines.end());
  return xxhash128_hex(fmt::format("{}", fmt::join(lines, "\n")));
}

std::optional<Provenance> provenance_in(const fs::path& folder) {
  const std::string name = folder.filename().string();
  const auto stage = stage_named(name.substr(0, name.find('-')));
  if (!stage)
    throw DataError("is no folder of a stage", folder.string(), "Name one as `deda plan` lists them.");
  const auto result = folder / result_of(*stage);
  const auto json = read_object(result);
  if (key_in(json).empty()) return std::nullopt;
  return provenance_from(json.at("provenance").dump(), result.string());
}

std::vector<OtherFolder> other_folders(const Plan& plan) {
  std::set<fs::path> planned;
  for (const Node& node : plan.nodes) planned.insert(node.folder.lexically_normal());
  std::vector<OtherFolder> others;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(plan.output, error)) {
    const std::string name = entry.path().filename().string();
    const auto dash = name.find('-');
    const auto stage = stage_named(name.substr(0, dash));
    constexpr std::size_t digits = 16;
    if (!stage || *stage == Stage::toy || dash == std::string::npos || name.size() != dash + 1 + digits ||
        planned.count(entry.path().lexically_normal()) > 0)
      continue;
    OtherFolder other{entry.path(), false};
    try {
      const auto result = entry.path() / result_of(*stage);
      std::error_code unreadable;
      other.of_earlier_version = fs::exists(result, unreadable) && key_in(read_object(result)).empty();
    } catch (const Error&) {  // neither this nor that can be said of it
    }
    others.push_back(std::move(other));
  }
  std::sort(others.begin(), others.end(),
            [](const OtherFolder& a, const OtherFolder& b) { return a.folder < b.folder; });
  return others;
}

}  // namespace deda::pipeline
