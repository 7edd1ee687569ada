// plan.json: a study's plan for other processes.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/escaped_name.h"
#include "study/study_plan.h"

namespace deda::study {
namespace {

using Json = nlohmann::ordered_json;
constexpr const char* schema = "deda-study-plan-1";

Json axis_json(const Axis& axis) {
  std::vector<std::string> values;
  for (const auto& value : axis.values) values.push_back(value.name);
  return {{"name", axis.name}, {"values", values}};
}

Axis axis_from(const Json& json) {
  Axis axis;
  axis.name = json.at("name").get<std::string>();
  for (const auto& value : json.at("values")) axis.values.push_back({value.get<std::string>(), {}, {}, {}});
  return axis;
}

template <class List, class Make>
Json list_json(const List& list, Make make) {
  Json json = Json::array();
  for (const auto& each : list) json.push_back(make(each));
  return json;
}

// What layouts need; settings stand in the items.
Json study_json(const Study& study) {
  return {{"name", study.name},
          {"file", path_text(study.file)},
          {"seeds", study.seeds},
          {"ranks", study.ranks},
          {"threads", study.threads},
          {"stop_after", study.stop_after},
          {"axes", list_json(study.axes, axis_json)},
          {"grids", list_json(study.grids,
                              [](const Grid& grid) {
                                return Json{{"name", grid.name},
                                            {"axes", grid.axes},
                                            {"fix", grid.fix},
                                            {"vary", list_json(grid.vary, axis_json)},
                                            {"zips", list_json(grid.zips,
                                                               [](const Zip& zip) {
                                                                 return list_json(zip.axes, axis_json);
                                                               })},
                                            {"seeds", grid.seeds},
                                            {"nested", grid.nested},
                                            {"optional", grid.optional}};
                              })},
          {"tables", list_json(study.tables,
                               [](const TableLayout& table) {
                                 return Json{{"title", table.title},
                                             {"grids", table.grids},
                                             {"rows", table.rows},
                                             {"columns", table.columns},
                                             {"value", name_of(table.value)},
                                             {"group", table.group},
                                             {"baseline", table.baseline},
                                             {"paper", path_text(table.paper)},
                                             {"average", table.average},
                                             {"note", table.note}};
                               })},
          {"figures", list_json(study.figures, [](const FigureLayout& figure) {
             return Json{{"title", figure.title},
                         {"kind", static_cast<int>(figure.kind)},
                         {"grids", figure.grids},
                         {"panels", figure.panels},
                         {"x", figure.x},
                         {"series", figure.series},
                         {"value", name_of(figure.value)},
                         {"group", figure.group},
                         {"paper", path_text(figure.paper)},
                         {"note", figure.note}};
           })}};
}

Value value_from(const std::string& name) {
  for (const Value value : {Value::last, Value::best, Value::mean_last_10, Value::held_out}) {
    if (name_of(value) == name) return value;
  }
  throw DataError(fmt::format("names a value \"{}\" that does not exist", name), "plan.json");
}

using Texts = std::vector<std::string>;

Study study_from(const Json& json) {
  Study study;
  study.name = json.at("name").get<std::string>();
  study.file = path_of_name(json.at("file").get<std::string>());
  study.seeds = json.at("seeds").get<std::vector<std::int64_t>>();
  study.ranks = json.at("ranks").get<std::int64_t>();
  study.threads = json.at("threads").get<std::int64_t>();
  study.stop_after = json.at("stop_after").get<std::int64_t>();
  for (const auto& axis : json.at("axes")) study.axes.push_back(axis_from(axis));
  for (const auto& each : json.at("grids")) {
    Grid grid;
    grid.name = each.at("name").get<std::string>();
    grid.axes = each.at("axes").get<Texts>();
    grid.fix = each.at("fix").get<std::map<std::string, std::string>>();
    for (const auto& axis : each.at("vary")) grid.vary.push_back(axis_from(axis));
    for (const auto& zip : each.at("zips")) {
      grid.zips.emplace_back();
      for (const auto& axis : zip) grid.zips.back().axes.push_back(axis_from(axis));
    }
    grid.seeds = each.at("seeds").get<std::vector<std::int64_t>>();
    grid.nested = each.at("nested").get<std::string>();
    grid.optional = each.at("optional").get<std::string>();
    study.grids.push_back(std::move(grid));
  }
  for (const auto& each : json.at("tables")) {
    TableLayout table;
    table.title = each.at("title").get<std::string>();
    table.grids = each.at("grids").get<Texts>();
    table.rows = each.at("rows").get<Texts>();
    table.columns = each.at("columns").get<Texts>();
    table.value = value_from(each.at("value").get<std::string>());
    table.group = each.at("group").get<std::string>();
    table.baseline = each.at("baseline").get<std::string>();
    table.paper = path_of_name(each.at("paper").get<std::string>());
    table.average = each.at("average").get<bool>();
    table.note = each.at("note").get<std::string>();
    study.tables.push_back(std::move(table));
  }
  for (const auto& each : json.at("figures")) {
    FigureLayout figure;
    figure.title = each.at("title").get<std::string>();
    figure.kind = static_cast<FigureLayout::Kind>(each.at("kind").get<int>());
    figure.grids = each.at("grids").get<Texts>();
    figure.panels = each.at("panels").get<std::string>();
    figure.x = each.at("x").get<std::string>();
    figure.series = each.at("series").get<std::string>();
    figure.value = value_from(each.at("value").get<std::string>());
    figure.group = each.at("group").get<std::string>();
    figure.paper = path_of_name(each.at("paper").get<std::string>());
    figure.note = each.at("note").get<std::string>();
    study.figures.push_back(std::move(figure));
  }
  return study;
}

}  // namespace

std::string to_json(const StudyPlan& plan) {
  pipeline::Plan nodes;  // the pipeline knows how a node is written
  nodes.output = plan.output;
  nodes.configuration = "{}";
  nodes.notes = plan.notes;
  for (const Item& item : plan.items) nodes.nodes.push_back(item.node);
  return Json{{"schema", schema},
              {"study", study_json(plan.study)},
              {"plan", Json::parse(pipeline::to_json(nodes))},
              {"titles", list_json(plan.items, [](const Item& item) { return Json(readable(item.title)); })},
              {"names", list_json(plan.items, [](const Item& item) { return Json(item.name); })},
              {"left_out", plan.left_out},
              {"cells", list_json(plan.cells,
                                  [](const Cell& cell) {
                                    return Json{{"labels", cell.labels},
                                                {"grid", cell.grid},
                                                {"seed", cell.seed},
                                                {"item", cell.item}};
                                  })}}
      .dump(1, ' ', false, Json::error_handler_t::replace);
}

StudyPlan study_plan_from(const std::string& text, const std::string& where) {
  try {
    const auto json = Json::parse(text);
    const auto found = json.value("schema", std::string{});
    if (found != schema)
      throw DataError(fmt::format("has the schema \"{}\"; this program reads \"{}\"", found, schema), where,
                      "It was written by another version: use that one, or another name for the study.");
    StudyPlan plan;
    plan.study = study_from(json.at("study"));
    auto nodes = pipeline::plan_from(json.at("plan"));
    plan.output = nodes.output;
    plan.study.output = plan.output;
    plan.notes = std::move(nodes.notes);
    plan.left_out = json.at("left_out").get<Texts>();
    const auto& names = json.at("names");
    const auto& titles = json.at("titles");
    for (std::size_t i = 0; i < nodes.nodes.size(); ++i)
      plan.items.push_back(
          {names.at(i).get<std::string>(), std::move(nodes.nodes[i]), titles.at(i).get<std::string>()});
    for (const auto& cell : json.at("cells")) {
      plan.cells.push_back({cell.at("labels").get<Labels>(), cell.at("grid").get<std::string>(),
                            cell.at("seed").get<std::int64_t>(), cell.at("item").get<std::size_t>()});
      if (plan.cells.back().item >= plan.items.size())
        throw DataError("a cell wants an item that is not there", where);
    }
    return plan;
  } catch (const nlohmann::json::exception& error) {
    throw DataError(
        fmt::format("is no plan of a study: {}", error.what()), where,
        "Remove it; `deda study plan` writes it anew. Results and ledgers are not touched by that.");
  }
}

}  // namespace deda::study
