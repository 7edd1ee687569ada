// Stanford Cars (Krause et al., 3dRR 2013): cars_train/, cars_test/, devkit/*.mat (MATLAB 5 struct arrays
// `annotations` with 1-based boxes, class 1..196 and fname). The labelled test annotations are found in
// devkit/ or one level up, mirrors nest folders twice; without them the test pictures have no class and are
// left out. A CSV (fname,class,x1,y1,x2,y2,split) as cars.csv is accepted instead of the .mat files.
#include <fmt/format.h>

#include <algorithm>

#include "data/reader.h"
#include "io/formats/matlab_file.h"
#include "io/formats/text_table.h"

namespace deda::data {

namespace {

// The first of several places that exists, relative to the root; "" if none does.
std::string first_existing(const Reader& reader, std::initializer_list<std::string> places,
                           bool folder = false) {
  for (const std::string& place : places) {
    if (folder ? std::filesystem::is_directory(reader.config.root / place) : reader.exists(place))
      return place;
  }
  return {};
}

void add_annotations(Reader& reader, const std::string& file, Split split, const std::string& folder) {
  const auto path = reader.config.root / file;
  const auto rows = io::read_matlab_struct_array(path, "annotations");
  std::size_t unlabelled = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::string where = fmt::format("{}, element {}", path.string(), i + 1);
    const auto number = [&](const char* field) -> std::optional<double> {
      const auto found = rows[i].find(field);
      return found != rows[i].end() && std::holds_alternative<double>(found->second)
                 ? std::optional{std::get<double>(found->second)}
                 : std::nullopt;
    };
    const auto name = rows[i].find("fname");
    const auto x1 = number("bbox_x1"), y1 = number("bbox_y1"), x2 = number("bbox_x2"), y2 = number("bbox_y2");
    if (name == rows[i].end() || !std::holds_alternative<std::string>(name->second) || !x1 || !y1 || !x2 ||
        !y2) {
      reader.problem("lacks fname or a side of its box", where);
      continue;
    }
    const auto id = number("class");
    if (!id) {
      ++unlabelled;
      continue;
    }
    if (*id < 1 || *id > static_cast<double>(reader.dataset.class_names.size())) {
      reader.problem(fmt::format("has class {}, but there are {}", *id, reader.dataset.class_names.size()),
                     where);
      continue;
    }
    Item item;
    item.path = reader.listed_path(folder + "/", std::get<std::string>(name->second), where);
    item.class_id = static_cast<std::int32_t>(*id) - 1;
    item.split = split;
    item.box = from_one_based(*x1, *y1, *x2, *y2);
    if (!reader.check_box(*item.box, where)) continue;
    reader.require_file(item.path, where);
    reader.dataset.items.push_back(std::move(item));
  }
  if (unlabelled > 0)
    reader.notes.push_back(fmt::format("{} has {} pictures without a class: left out", file, unlabelled));
}

void read_table(Reader& reader) {
  const io::TextTable table = io::read_csv(reader.config.root / "cars.csv");
  const std::vector<std::string> header = {"fname", "class", "x1", "y1", "x2", "y2", "split"};
  if (table.rows.empty() || table.rows[0].cells != header)
    throw DataError("does not begin with the line \"fname,class,x1,y1,x2,y2,split\"",
                    table.path.string() + ":1",
                    "Cells are separated by commas; without that line the first picture would be lost.");
  std::set<std::string> names;
  for (std::size_t i = 1; i < table.rows.size(); ++i) {
    if (table.rows[i].cells.size() == 7) names.insert(table.rows[i].cells[1]);
  }
  reader.dataset.class_names.assign(names.begin(), names.end());
  for (std::size_t i = 1; i < table.rows.size(); ++i) {
    const io::TextRow& row = table.rows[i];
    std::array<std::optional<double>, 4> sides;
    for (std::size_t side = 0; side < 4 && side + 2 < row.cells.size(); ++side)
      sides[side] = io::to_number(row.cells[side + 2]);
    if (row.cells.size() != 7 || !sides[0] || !sides[1] || !sides[2] || !sides[3] ||
        (row.cells[6] != "train" && row.cells[6] != "test")) {
      reader.problem("is no line \"fname,class,x1,y1,x2,y2,train|test\"", table.where(row));
      continue;
    }
    Item item;
    item.path = reader.listed_path({}, row.cells[0], table.where(row));
    item.class_id = static_cast<std::int32_t>(std::distance(names.begin(), names.find(row.cells[1])));
    item.split = row.cells[6] == "train" ? Split::train : Split::test;
    item.box = {*sides[0], *sides[1], *sides[2], *sides[3]};
    if (!reader.check_box(*item.box, table.where(row))) continue;
    reader.require_file(item.path, table.where(row));
    reader.dataset.items.push_back(std::move(item));
  }
}

}  // namespace

void read_stanford_cars(Reader& reader) {
  reader.dataset.name = "Stanford Cars";
  reader.dataset.subjects = {"car"};
  if (reader.exists("cars.csv")) return read_table(reader);
  const std::string meta =
      first_existing(reader, {"devkit/cars_meta.mat", "cars_meta.mat", "car_devkit/devkit/cars_meta.mat"});
  if (meta.empty())
    throw DataError("holds neither devkit/cars_meta.mat nor cars.csv", reader.config.root.string(),
                    "The layout is described in src/data/README.md.");
  reader.dataset.class_names = io::read_matlab_texts(reader.config.root / meta, "class_names");
  const std::string devkit = meta.substr(0, meta.size() - std::string{"cars_meta.mat"}.size());
  const auto folder = [&](const std::string& name) {
    const std::string found = first_existing(reader, {name + "/" + name, name}, true);
    return found.empty() ? name : found;
  };
  add_annotations(reader, devkit + "cars_train_annos.mat", Split::train, folder("cars_train"));
  const std::string labelled =
      first_existing(reader, {devkit + "cars_test_annos_withlabels.mat", "cars_test_annos_withlabels.mat",
                              "devkit/cars_test_annos_withlabels.mat"});
  const std::string test =
      labelled.empty() ? first_existing(reader, {devkit + "cars_test_annos.mat"}) : labelled;
  if (test.empty())
    reader.notes.emplace_back("no cars_test_annos_withlabels.mat: there is no test split");
  else
    add_annotations(reader, test, Split::test, folder("cars_test"));
}

}  // namespace deda::data
