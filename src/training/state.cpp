#include "training/state.h"

#include <nlohmann/json.hpp>

#include "core/error.h"

namespace deda::training {

using nlohmann::json;

static void to_json(json& j, const GroupScore& s) {
  j = json{{"group", s.group}, {"correct", s.correct}, {"total", s.total}};
}
static void from_json(const json& j, GroupScore& s) {
  j.at("group").get_to(s.group);
  j.at("correct").get_to(s.correct);
  j.at("total").get_to(s.total);
}

static void to_json(json& j, const EpochRecord& r) {
  j = json{{"epoch", r.epoch},     {"learning_rate", r.learning_rate}, {"loss", r.loss},
           {"seconds", r.seconds}, {"waited_s", r.waited_s},           {"images_per_s", r.images_per_s},
           {"scores", r.scores}};
  if (r.held_out) j["held_out"] = *r.held_out;
  for (const Metric& metric : r.metrics) j["metrics"][metric.name] = metric.value;
}
static void from_json(const json& j, EpochRecord& r) {
  j.at("epoch").get_to(r.epoch);
  j.at("learning_rate").get_to(r.learning_rate);
  j.at("loss").get_to(r.loss);
  j.at("seconds").get_to(r.seconds);
  j.at("waited_s").get_to(r.waited_s);
  j.at("images_per_s").get_to(r.images_per_s);
  j.at("scores").get_to(r.scores);
  if (const auto held_out = j.find("held_out"); held_out != j.end()) r.held_out = held_out->get<GroupScore>();
  if (const auto metrics = j.find("metrics"); metrics != j.end()) {
    for (const auto& [name, value] : metrics->items()) r.metrics.push_back({name, value.get<double>()});
  }
}

std::string to_json(const TrainingState& s) {
  json j{{"key", s.key},
         {"code_version", s.code_version},
         {"epoch", s.epoch},
         {"step", s.step},
         {"global_step", s.global_step},
         {"loss_sum", s.loss_sum},
         {"samples", s.samples},
         {"seconds", s.seconds},
         {"waited_s", s.waited_s},
         {"best_accuracy", s.best_accuracy},
         {"best_epoch", s.best_epoch},
         {"history", s.history},
         {"failure", s.failure}};
  if (s.left_unmixed > 0) j["left_unmixed"] = s.left_unmixed;
  if (s.loss_scale) j["loss_scale"] = {{"scale", s.loss_scale->scale}, {"skipped", s.loss_scale->skipped}};
  return j.dump();
}

TrainingState state_from_json(const std::string& text, const std::string& where) {
  try {
    const auto j = json::parse(text);
    TrainingState s;
    s.key = j.value("key", std::string{});  // absent: made before results knew theirs
    j.at("code_version").get_to(s.code_version);
    j.at("epoch").get_to(s.epoch);
    j.at("step").get_to(s.step);
    j.at("global_step").get_to(s.global_step);
    j.at("loss_sum").get_to(s.loss_sum);
    j.at("samples").get_to(s.samples);
    j.at("seconds").get_to(s.seconds);
    j.at("waited_s").get_to(s.waited_s);
    j.at("best_accuracy").get_to(s.best_accuracy);
    j.at("best_epoch").get_to(s.best_epoch);
    j.at("history").get_to(s.history);
    j.at("failure").get_to(s.failure);
    s.left_unmixed = j.value("left_unmixed", std::int64_t{0});
    if (const auto scale = j.find("loss_scale"); scale != j.end())
      s.loss_scale = {scale->at("scale").get<double>(), scale->at("skipped").get<std::int64_t>()};
    return s;
  } catch (const json::exception& error) {
    throw DataError(std::string{"the training state is malformed: "} + error.what(), where);
  }
}

}  // namespace deda::training
