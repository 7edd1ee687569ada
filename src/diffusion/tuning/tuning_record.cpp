#include "diffusion/tuning/tuning_record.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"
#include "core/log.h"

namespace deda::diffusion {
namespace {

using TuningJson = nlohmann::ordered_json;
constexpr auto tuning_schema = "deda-tuning-1";

TuningJson optional_number(const std::optional<double>& value) {
  return value ? TuningJson(*value) : TuningJson(nullptr);
}
std::optional<double> optional_number_in(const TuningJson& json, const char* key) {
  const auto& value = json.at(key);
  return value.is_null() ? std::nullopt : std::optional<double>(value.get<double>());
}

bool is_whole(const std::filesystem::path& folder, const TuningRecord& record) {
  for (const auto& file : record.files) {
    try {
      if (xxhash128_hex(read_text(folder / file.name)) == file.hash) continue;
    } catch (const Error&) {  // missing or unreadable: as a changed one
    }
    log_warning("{}: {} is missing or damaged, tuned anew", folder.string(), file.name);
    return false;
  }
  return true;
}

}  // namespace

std::filesystem::path tuning_record_path(const std::filesystem::path& folder) {
  return folder / "tuning.json";
}

std::string to_json(const TuningRecord& record) {
  TuningJson json{{"schema", tuning_schema},
                  {"key", record.key},
                  {"model_identity", record.model_identity},
                  {"settings", TuningJson::object()},
                  {"outcome", record.outcome == TuningOutcome::done ? "done" : "failed"},
                  {"reason", record.reason},
                  {"super_class", record.super_class},
                  {"initial_word", record.initial_word},
                  {"initial_tokens", record.initial_tokens},
                  {"pictures", record.pictures},
                  {"steps", record.steps},
                  {"tries", record.tries},
                  {"skipped_steps", record.skipped_steps},
                  {"learning_rate", record.learning_rate},
                  {"token_learning_rate", record.token_learning_rate},
                  {"loss_first", optional_number(record.loss_first)},
                  {"loss_last", optional_number(record.loss_last)},
                  {"classes", TuningJson::array()},
                  {"files", TuningJson::array()}};
  for (const auto& [name, value] : record.settings) json["settings"][name] = value;
  if (!record.made_of.empty()) json["provenance"] = TuningJson::parse(record.made_of);
  for (const auto& each : record.classes)
    json["classes"].push_back({{"class", each.class_name},
                               {"placeholder", each.placeholder},
                               {"outcome", each.outcome},
                               {"pictures", each.pictures}});
  for (const auto& file : record.files) json["files"].push_back({{"name", file.name}, {"hash", file.hash}});
  return json.dump(1) + "\n";
}

TuningRecord tuning_record_from(const std::string& text, const std::string& where) {
  try {
    const auto json = TuningJson::parse(text);
    if (const auto found = json.at("schema").get<std::string>(); found != tuning_schema)
      throw DataError(fmt::format("schema \"{}\", this program reads \"{}\"", found, tuning_schema), where);
    TuningRecord record;
    record.key = json.at("key").get<std::string>();
    if (json.contains("provenance")) record.made_of = json["provenance"].dump();
    record.model_identity = json.at("model_identity").get<std::string>();
    for (const auto& [name, value] : json.at("settings").items())
      record.settings.emplace_back(name, value.get<std::string>());
    const auto outcome = json.at("outcome").get<std::string>();
    if (outcome != "done" && outcome != "failed")
      throw DataError(fmt::format("outcome \"{}\" is not known", outcome), where);
    record.outcome = outcome == "done" ? TuningOutcome::done : TuningOutcome::failed;
    record.reason = json.at("reason").get<std::string>();
    record.super_class = json.at("super_class").get<std::string>();
    record.initial_word = json.at("initial_word").get<std::string>();
    record.initial_tokens = json.at("initial_tokens").get<std::int64_t>();
    record.pictures = json.at("pictures").get<std::int64_t>();
    record.steps = json.at("steps").get<std::int64_t>();
    record.tries = json.at("tries").get<std::int64_t>();
    record.skipped_steps = json.at("skipped_steps").get<std::int64_t>();
    record.learning_rate = json.at("learning_rate").get<double>();
    record.token_learning_rate = json.at("token_learning_rate").get<double>();
    record.loss_first = optional_number_in(json, "loss_first");
    record.loss_last = optional_number_in(json, "loss_last");
    for (const auto& each : json.at("classes"))
      record.classes.push_back(
          {each.at("class").get<std::string>(), each.at("placeholder").get<std::string>(),
           each.at("outcome").get<std::string>(), each.at("pictures").get<std::int64_t>()});
    for (const auto& file : json.at("files"))
      record.files.push_back({file.at("name").get<std::string>(), file.at("hash").get<std::string>()});
    if (record.outcome == TuningOutcome::done && record.files.empty())
      throw DataError("is done but has no file", where);
    return record;
  } catch (const nlohmann::json::exception& error) {
    throw DataError(fmt::format("is no record of a tuning: {}", error.what()), where,
                    "Delete it and run `deda tune` again.");
  }
}

std::optional<TuningRecord> finished_tuning(const std::filesystem::path& folder, const std::string& key) {
  const auto path = tuning_record_path(folder);
  if (!std::filesystem::exists(path)) return std::nullopt;
  try {
    auto record = tuning_record_from(read_text(path), path.string());
    if (record.key == key) return is_whole(folder, record) ? std::optional{record} : std::nullopt;
    log_warning("{}: of another run, made anew", path.string());
  } catch (const Error& error) {
    log_warning("{}: made anew", to_string(error.problems().front()));
  }
  return std::nullopt;
}

}  // namespace deda::diffusion
