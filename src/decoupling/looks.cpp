#include "decoupling/looks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/error.h"
#include "core/files.h"

namespace deda::decoupling {

namespace {

using Json = nlohmann::ordered_json;

double rounded(double value) {
  constexpr double steps = 1e4;
  return std::isfinite(value) ? std::nearbyint(value * steps) / steps : 0.0;
}

Json json_of(const FoundObject& object, bool with_sketch) {
  Json json;
  json["box"] = Json::array();
  for (const double side : object.box) json["box"].push_back(rounded(side));
  json["score"] = rounded(object.score);
  if (!object.phrase.empty()) json["phrase"] = object.phrase;
  json["class"] = object.class_id;
  if (!object.rejected.empty()) json["rejected"] = object.rejected;
  if (with_sketch && !object.sketch.empty())
    json["mask"] = {
        {"height", object.sketch.height}, {"width", object.sketch.width}, {"runs", object.sketch.runs}};
  return json;
}

FoundObject object_of(const Json& json) {
  FoundObject object;
  object.box = json.at("box").get<std::array<double, 4>>();
  object.score = json.at("score").get<double>();
  object.phrase = json.value("phrase", std::string{});
  object.class_id = json.at("class").get<std::int32_t>();
  object.rejected = json.value("rejected", std::string{});
  if (const auto mask = json.find("mask"); mask != json.end()) {
    const int height = mask->at("height").get<int>(), width = mask->at("width").get<int>();
    const bool possible = height >= 1 && width >= 1 && height <= sketch_side && width <= sketch_side;
    if (possible) object.sketch = {height, width, mask->at("runs").get<std::vector<std::uint32_t>>()};
  }
  return object;
}

io::Outcome outcome_of(const std::string& name) {
  for (const auto outcome : {io::Outcome::done, io::Outcome::nothing_found, io::Outcome::unreadable,
                             io::Outcome::rejected, io::Outcome::failed}) {
    if (io::name_of(outcome) == name) return outcome;
  }
  return io::Outcome::failed;
}

Look look_of(const Json& json) {
  Look look;
  look.item = json.at("item").get<std::int64_t>();
  look.source = json.at("source").get<std::string>();
  look.outcome = outcome_of(json.at("outcome").get<std::string>());
  look.route = json.value("route", std::string{});
  look.reason = json.value("reason", std::string{});
  look.height = json.at("height").get<int>();
  look.width = json.at("width").get<int>();
  look.turned = json.value("turned", 1);
  look.hole_share = json.value("hole_share", 0.0);
  look.quality = json.value("quality", double{io::not_measured});
  for (const auto& attempt : json.at("attempts")) {
    Attempt made{attempt.at("route").get<std::string>(),
                 attempt.value("prompt", std::string{}),
                 attempt.value("reason", std::string{}),
                 {}};
    for (const auto& object : attempt.at("objects")) made.objects.push_back(object_of(object));
    look.attempts.push_back(std::move(made));
  }
  return look;
}

}  // namespace

std::string name_of_looks(std::int64_t segment) {
  return fmt::format("looks-{:06}.jsonl", segment);
}

std::string look_line(const DecoupledPicture& picture, const std::string& source) {
  Json json;
  json["item"] = picture.result.item;
  json["source"] = source;
  json["outcome"] = io::name_of(picture.result.outcome);
  if (!picture.route.empty()) json["route"] = picture.route;
  if (!picture.result.reason.empty()) json["reason"] = picture.result.reason;
  json["height"] = picture.height;
  json["width"] = picture.width;
  if (!picture.hole.empty())
    json["hole_share"] =
        rounded(static_cast<double>(area_of(picture.hole)) / static_cast<double>(picture.hole.pixels.size()));
  if (picture.turned != 1) json["turned"] = picture.turned;
  if (picture.quality >= 0) json["quality"] = rounded(picture.quality);
  json["attempts"] = Json::array();
  for (const Attempt& attempt : picture.attempts) {
    Json made;
    made["route"] = attempt.route;
    if (!attempt.prompt.empty()) made["prompt"] = attempt.prompt;
    if (!attempt.reason.empty()) made["reason"] = attempt.reason;
    made["objects"] = Json::array();
    for (std::size_t i = 0; i < attempt.objects.size(); ++i)
      made["objects"].push_back(json_of(attempt.objects[i], i < most_sketches));
    json["attempts"].push_back(std::move(made));
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::vector<Look> read_looks(const std::filesystem::path& store) {
  std::vector<Look> looks;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(store, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("looks-") || entry.path().extension() != ".jsonl") continue;
    std::istringstream lines(read_text(entry.path()));
    for (std::string line; std::getline(lines, line);) {
      try {
        looks.push_back(look_of(Json::parse(line)));
      } catch (const Json::exception&) {
        continue;  // a damaged line costs one overlay, not the report
      }
    }
  }
  std::sort(looks.begin(), looks.end(), [](const Look& a, const Look& b) { return a.item < b.item; });
  return looks;
}

}  // namespace deda::decoupling
