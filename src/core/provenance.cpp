#include "core/provenance.h"

#include <nlohmann/json.hpp>

#include "core/error.h"

namespace deda {
namespace {

constexpr int schema = 1;

}  // namespace

std::string to_json(const Provenance& provenance) {
  return nlohmann::json{{"schema", schema},
                        {"stage", provenance.stage},
                        {"key", provenance.key},
                        {"needs", provenance.needs},
                        {"inputs", provenance.inputs},
                        {"settings", nlohmann::json::parse(provenance.settings)},
                        {"configuration", nlohmann::json::parse(provenance.configuration)},
                        {"code_version", provenance.code_version},
                        {"processor", provenance.processor}}
      .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Provenance provenance_from(const std::string& json, const std::string& where) {
  try {
    const auto object = nlohmann::json::parse(json);
    return {.stage = object.at("stage"),
            .key = object.at("key"),
            .needs = object.at("needs"),
            .inputs = object.at("inputs"),
            .settings = object.at("settings").dump(),
            .configuration = object.at("configuration").dump(),
            .code_version = object.at("code_version"),
            .processor = object.at("processor")};
  } catch (const nlohmann::json::exception& error) {
    throw DataError(std::string{"its provenance cannot be read: "} + error.what(), where);
  }
}

}  // namespace deda
