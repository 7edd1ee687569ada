#include "diffusion/inversion/identifiers.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"
#include "diffusion/model.h"
#include "models/weights/embedding_file.h"

namespace deda::diffusion {
namespace {

using Json = nlohmann::ordered_json;

constexpr auto manifest_schema = "deda-identifiers-1";
constexpr std::array<std::pair<IdentifierOutcome, std::string_view>, 3> outcome_names{
    {{IdentifierOutcome::done, "done"},
     {IdentifierOutcome::no_cdp, "no_cdp"},
     {IdentifierOutcome::failed, "failed"}}};

IdentifierOutcome outcome_of(const std::string& name, const std::string& where) {
  for (const auto& [outcome, known] : outcome_names) {
    if (known == name) return outcome;
  }
  throw DataError(fmt::format("outcome \"{}\" is not known", name), where);
}

Json number(const std::optional<double>& value) {
  return value ? Json(*value) : Json(nullptr);
}

std::optional<double> number_in(const Json& object, const char* key) {
  const auto& value = object.at(key);
  return value.is_null() ? std::nullopt : std::optional<double>(value.get<double>());
}

Json to_object(const IdentifierRecord& record) {
  Json object{{"class_id", record.class_id},
              {"class", record.class_name},
              {"placeholder", record.placeholder},
              {"outcome", name_of(record.outcome)},
              {"reason", record.reason},
              {"initial_word", record.initial_word},
              {"initial_tokens", record.initial_tokens},
              {"cdps", record.cdps},
              {"held_out", record.held_out},
              {"tries", record.tries},
              {"learning_rate", record.learning_rate},
              {"skipped_steps", record.skipped_steps},
              {"loss_first", number(record.loss_first)},
              {"loss_last", number(record.loss_last)},
              {"held_out_loss_word", number(record.held_out_word)},
              {"held_out_loss_before", number(record.held_out_before)},
              {"held_out_loss_after", number(record.held_out_after)},
              {"norm", record.norm},
              {"cosine", record.cosine},
              {"files", Json::array()}};
  for (const auto& file : record.files) object["files"].push_back({{"name", file.name}, {"hash", file.hash}});
  return object;
}

IdentifierRecord record_of(const Json& object, const std::string& where) {
  IdentifierRecord record;
  record.class_id = object.at("class_id").get<std::int64_t>();
  record.class_name = object.at("class").get<std::string>();
  record.placeholder = object.at("placeholder").get<std::string>();
  record.outcome = outcome_of(object.at("outcome").get<std::string>(), where);
  record.reason = object.at("reason").get<std::string>();
  record.initial_word = object.at("initial_word").get<std::string>();
  record.initial_tokens = object.at("initial_tokens").get<std::int64_t>();
  record.cdps = object.at("cdps").get<std::int64_t>();
  record.held_out = object.at("held_out").get<std::int64_t>();
  record.tries = object.at("tries").get<std::int64_t>();
  record.learning_rate = object.at("learning_rate").get<double>();
  record.skipped_steps = object.at("skipped_steps").get<std::int64_t>();
  record.loss_first = number_in(object, "loss_first");
  record.loss_last = number_in(object, "loss_last");
  record.held_out_word = number_in(object, "held_out_loss_word");
  record.held_out_before = number_in(object, "held_out_loss_before");
  record.held_out_after = number_in(object, "held_out_loss_after");
  record.norm = object.at("norm").get<std::vector<double>>();
  record.cosine = object.at("cosine").get<std::vector<double>>();
  for (const auto& file : object.at("files"))
    record.files.push_back({file.at("name").get<std::string>(), file.at("hash").get<std::string>()});
  if (record.outcome == IdentifierOutcome::done && record.files.empty())
    throw DataError("class " + record.class_name + " is done but has no file", where);
  return record;
}

}  // namespace

std::string_view name_of(IdentifierOutcome outcome) {
  for (const auto& [known, name] : outcome_names) {
    if (known == outcome) return name;
  }
  return "unknown";
}

std::filesystem::path identifier_manifest_path(const std::filesystem::path& folder) {
  return folder / "identifiers.json";
}

std::string file_stem_of(const std::string& placeholder) {
  std::string stem;
  for (const char c : placeholder) {
    if (c != '<' && c != '>') stem += c;
  }
  return stem;
}

std::string to_json(const IdentifierManifest& manifest) {
  Json json{{"schema", manifest_schema},
            {"key", manifest.key},
            {"model_identity", manifest.model_identity},
            {"settings", Json::object()},
            {"classes", Json::array()}};
  for (const auto& [name, value] : manifest.settings) json["settings"][name] = value;
  if (!manifest.made_of.empty()) json["provenance"] = Json::parse(manifest.made_of);
  for (const auto& record : manifest.classes) json["classes"].push_back(to_object(record));
  return json.dump(1) + "\n";
}

IdentifierManifest identifier_manifest_from(const std::string& text, const std::string& where) {
  try {
    const auto json = Json::parse(text);
    if (const auto found = json.at("schema").get<std::string>(); found != manifest_schema)
      throw DataError(fmt::format("schema \"{}\", this program reads \"{}\"", found, manifest_schema), where);
    IdentifierManifest manifest;
    manifest.key = json.value("key", std::string{});  // absent: made before results knew theirs
    if (json.contains("provenance")) manifest.made_of = json["provenance"].dump();
    manifest.model_identity = json.at("model_identity").get<std::string>();
    for (const auto& [name, value] : json.at("settings").items())
      manifest.settings.emplace_back(name, value.get<std::string>());
    for (const auto& object : json.at("classes")) manifest.classes.push_back(record_of(object, where));
    return manifest;
  } catch (const nlohmann::json::exception& error) {
    throw DataError(fmt::format("is no list of identifiers: {}", error.what()), where,
                    "Delete it and run `deda invert` again.");
  }
}

std::vector<std::string> damaged_files(const std::filesystem::path& folder, const IdentifierRecord& record) {
  std::vector<std::string> damaged;
  for (const auto& file : record.files) {
    try {
      if (xxhash128_hex(read_text(folder / file.name)) == file.hash) continue;
    } catch (const Error&) {  // missing or unreadable: named below like a changed one
    }
    damaged.push_back(file.name);
  }
  return damaged;
}

Identifiers::Identifiers(const std::filesystem::path& folder, const std::vector<std::string>& class_names,
                         const std::vector<std::int64_t>& widths) {
  const auto path = identifier_manifest_path(folder);
  if (!std::filesystem::exists(path))
    throw DataError("there are no identifiers yet", folder.string(),
                    "Run `deda invert` with this configuration first.");
  manifest_ = identifier_manifest_from(read_text(path), path.string());
  std::vector<std::string> names;
  for (const auto& record : manifest_.classes) names.push_back(record.class_name);
  if (names != class_names)
    throw DataError(fmt::format("holds the identifiers of {} classes, not of the {} of this dataset",
                                names.size(), class_names.size()),
                    path.string(), "Run `deda invert` with this configuration.");
  std::vector<Problem> problems;
  rows_.resize(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto& record = manifest_.classes[i];
    if (record.outcome != IdentifierOutcome::done) continue;
    for (const auto& name : damaged_files(folder, record))
      problems.push_back({"is missing or damaged", (folder / name).string(),
                          "Run `deda invert` again: it learns only this class anew."});
    if (!problems.empty()) continue;
    try {
      rows_[i] = models::read_embedding(folder / record.files.front().name, widths).rows;
    } catch (const DataError& error) {
      problems.insert(problems.end(), error.problems().begin(), error.problems().end());
    }
  }
  if (!problems.empty()) throw DataError(std::move(problems));
}

std::string Identifiers::name_in_prompts(std::size_t class_id) const {
  const auto names = models::placeholders_of_rows(record(class_id).placeholder, rows(class_id).at(0).size(0));
  return fmt::format("{}", fmt::join(names, " "));
}

void Identifiers::require(const std::vector<std::size_t>& classes) const {
  std::vector<Problem> problems;
  for (const std::size_t id : classes) {
    if (has(id)) continue;
    problems.push_back({fmt::format("class {} has no identifier: {}", record(id).class_name,
                                    record(id).reason.empty() ? name_of(record(id).outcome)
                                                              : std::string_view{record(id).reason}),
                        {},
                        {}});
  }
  if (!problems.empty()) throw DataError(std::move(problems));
}

Identifiers::Tokens Identifiers::tokens_for(const DiffusionModel& model) const {
  Tokens tokens;
  for (std::size_t encoder = 0; encoder < model.tokenizers.size(); ++encoder) {
    tokens.tokenizers.push_back(model.tokenizers[encoder]);
    std::vector<at::Tensor> rows;
    for (std::size_t id = 0; id < rows_.size(); ++id) {
      if (!has(id)) continue;
      rows.push_back(rows_[id].at(encoder));
      for (const auto& name : models::placeholders_of_rows(record(id).placeholder, rows.back().size(0)))
        tokens.tokenizers.back().add_token(name);
    }
    tokens.rows.push_back(rows.empty() ? at::Tensor{} : at::cat(rows).to(model.device));
  }
  return tokens;
}

}  // namespace deda::diffusion
