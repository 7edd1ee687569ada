#include "pipeline/stage.h"

namespace deda::pipeline {
namespace {

struct Row {
  std::string_view name;
  int schema;
};
// 1 of invert and train, 3 of decouple: the last before keys counted contents. 4 of decouple, 2 of train: the
// last that could not read PNM files. 2 of generate: the last that edited all copies of a CDP in one batch,
// so that the last digits of the first ones depended on how many there were.
constexpr std::array<Row, all_stages.size()> rows{
    {{"toy", 2}, {"decouple", 5}, {"invert", 2}, {"tune", 1}, {"generate", 3}, {"train", 3}}};

}  // namespace

std::string_view name_of(Stage stage) {
  return rows.at(static_cast<std::size_t>(stage)).name;
}

std::optional<Stage> stage_named(std::string_view name) {
  for (const Stage stage : all_stages) {
    if (name_of(stage) == name) return stage;
  }
  return std::nullopt;
}

int schema_of(Stage stage) {
  return rows.at(static_cast<std::size_t>(stage)).schema;
}

}  // namespace deda::pipeline
