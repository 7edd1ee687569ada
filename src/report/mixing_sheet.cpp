#include "report/mixing_sheet.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/error.h"
#include "io/formats/safetensors.h"
#include "mixing/method.h"

namespace deda::report {
namespace {

namespace fs = std::filesystem;

// The network's normalisation, undone: ImageNet's means and deviations (training/normalise.h).
constexpr double mean[3] = {0.485, 0.456, 0.406}, deviation[3] = {0.229, 0.224, 0.225};

std::vector<fs::path> step_files(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const auto name = entry.path().filename().string();
    if (name.starts_with("step-") && name.ends_with(".safetensors") &&
        name.find(".rank-") == std::string::npos)
      files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

class Tensors {
 public:
  explicit Tensors(const io::SafetensorsFile& file) : file_{file} {}
  bool has(const std::string& name) const { return file_.contains(name); }
  // Of a tensor with that many dimensions, none of them empty; DataError else.
  const std::vector<std::int64_t>& shape(const std::string& name, std::size_t dimensions) const {
    const auto& found = file_.at(name).shape;
    const bool fits = found.size() == dimensions &&
                      std::all_of(found.begin(), found.end(), [](std::int64_t size) { return size > 0; });
    if (!fits)
      throw DataError(fmt::format("tensor {} has not the {} dimensions of a trace", name, dimensions),
                      file_.path().string());
    return found;
  }
  // The same of `rows` pictures or maps.
  const std::vector<std::int64_t>& shape_of_rows(const std::string& name, std::size_t dimensions,
                                                 std::int64_t rows) const {
    const auto& found = shape(name, dimensions);
    if (found.front() < rows)
      throw DataError(fmt::format("tensor {} has {} rows, not {}", name, found.front(), rows),
                      file_.path().string());
    return found;
  }
  // Numbers of a float32, float64, int64 or uint8 tensor.
  std::vector<double> numbers(const std::string& name) const {
    const auto& view = file_.at(name);
    switch (view.dtype) {
      case io::DType::f32:
        return read<float>(view);
      case io::DType::f64:
        return read<double>(view);
      case io::DType::i64:
        return read<std::int64_t>(view);
      case io::DType::u8:
        return read<std::uint8_t>(view);
      default:
        break;
    }
    throw DataError(fmt::format("tensor {} has type {}", name, io::name_of(view.dtype)),
                    file_.path().string());
  }
  // The only number of a tensor [1]; 0 where it has none.
  double number(const std::string& name) const {
    const auto values = numbers(name);
    return values.empty() ? 0 : values.front();
  }

 private:
  template <class Number>
  static std::vector<double> read(const io::TensorView& view) {
    std::vector<double> values(view.bytes.size() / sizeof(Number));
    for (std::size_t i = 0; i < values.size(); ++i) {
      Number number;
      std::memcpy(&number, view.bytes.data() + i * sizeof(Number), sizeof(Number));
      values[i] = static_cast<double>(number);
    }
    return values;
  }
  const io::SafetensorsFile& file_;
};

std::uint8_t level(double value) {
  return static_cast<std::uint8_t>(std::clamp(std::lround(value), 0L, 255L));
}

// Picture number `row` of a normalised batch [n, 3, H, W].
io::Image picture_of(const std::vector<double>& values, const std::vector<std::int64_t>& shape,
                     std::size_t row) {
  const int height = static_cast<int>(shape[2]), width = static_cast<int>(shape[3]);
  io::Image image(height, width, 3);
  const auto pixels = static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
  for (std::size_t c = 0; c < 3; ++c) {
    for (std::size_t i = 0; i < pixels; ++i)
      image.pixels[i * 3 + c] = level(255.0 * (values[(row * 3 + c) * pixels + i] * deviation[c] + mean[c]));
  }
  return image;
}

// A map [n, h, w] in grey, as large as the picture; 1 is white, or the largest value where `by_largest`.
io::Image map_of(const std::vector<double>& values, const std::vector<std::int64_t>& shape, std::size_t row,
                 int side, bool by_largest) {
  const auto height = static_cast<std::size_t>(shape[1]), width = static_cast<std::size_t>(shape[2]);
  const auto* first = values.data() + row * height * width;
  const double white = by_largest ? *std::max_element(first, first + height * width) : 1.0;
  io::Image image(side, side, 3);
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x) {
      const auto cell_y = static_cast<std::size_t>(y) * height / static_cast<std::size_t>(side),
                 cell_x = static_cast<std::size_t>(x) * width / static_cast<std::size_t>(side);
      const auto grey = level(255.0 * first[cell_y * width + cell_x] / (white > 0 ? white : 1.0));
      for (int c = 0; c < 3; ++c)
        image.pixels[(static_cast<std::size_t>(y) * static_cast<std::size_t>(side) +
                      static_cast<std::size_t>(x)) *
                         3 +
                     static_cast<std::size_t>(c)] = grey;
    }
  }
  return image;
}

// "class 3: 0.62, class 5: 0.38"
std::string label_text(const std::vector<double>& labels, std::size_t classes, std::size_t row) {
  std::string text;
  for (std::size_t c = 0; c < classes; ++c) {
    const double share = labels[row * classes + c];
    if (share > 0) text += fmt::format("{}class {}: {:.2f}", text.empty() ? "" : ", ", c, share);
  }
  return text;
}

// The picture that has the largest weight in an output of Co-Mixup besides `not_this`.
std::size_t most_shown(const std::vector<double>& assignment, std::size_t pictures, std::size_t row,
                       std::size_t not_this) {
  std::size_t best = not_this == 0 && pictures > 1 ? 1 : 0;
  for (std::size_t i = 0; i < pictures; ++i) {
    if (i != not_this && assignment[row * pictures + i] > assignment[row * pictures + best]) best = i;
  }
  return best;
}

std::string decisions(const Tensors& tensors) {
  std::string text;
  for (const char* name : {"lambda", "lambda2", "sigma", "blocks", "grid"}) {
    const auto tensor = std::string{"mix."} + name;
    if (tensors.has(tensor))
      text += fmt::format("{}{} {:.3g}", text.empty() ? "" : ", ", name, tensors.number(tensor));
  }
  return text;
}

MixingSheet sheet_of(const io::SafetensorsFile& file, std::size_t items) {
  const Tensors tensors(file);
  MixingSheet sheet;
  sheet.method = file.metadata().at("method");
  const auto step = file.metadata().find("step");
  sheet.step = step == file.metadata().end() ? "" : step->second;
  sheet.decided = decisions(tensors);
  const bool joint = tensors.has("mix.assignment");  // outputs of several pictures
  const bool saliency = tensors.has("mix.saliency"), mask = tensors.has("mix.mask");
  sheet.titles =
      joint ? std::vector<std::string>{"most shown", "next"} : std::vector<std::string>{"own", "partner"};
  if (saliency) sheet.titles.push_back("saliency");
  if (mask) sheet.titles.push_back("share of own");
  sheet.titles.push_back("mixed");

  const auto& shape = tensors.shape("input", 4);
  const auto side = static_cast<int>(shape[2]);
  const auto rows = shape[0];
  const auto mixed = tensors.numbers("input"), labels = tensors.numbers("label");
  const auto classes = static_cast<std::size_t>(tensors.shape_of_rows("label", 2, rows)[1]);
  // What is shown as pictures is as large as what came out.
  const auto as_pictures = [&](const std::string& name, std::int64_t count) {
    const auto& found = tensors.shape_of_rows(name, 4, count);
    if (found[1] != shape[1] || found[2] != shape[2] || found[3] != shape[3] || shape[1] != 3)
      throw DataError(fmt::format("tensor {} does not hold pictures as input does", name),
                      file.path().string());
    return tensors.numbers(name);
  };
  const auto pictures = joint ? tensors.shape_of_rows("mix.assignment", 2, rows)[1] : rows;
  const auto firsts = as_pictures(joint ? "mix.batch" : "composed", pictures),
             seconds = joint ? std::vector<double>{} : as_pictures("mix.partner_composed", rows);
  const auto assignment = joint ? tensors.numbers("mix.assignment") : std::vector<double>{};
  const auto& saliency_shape = saliency ? tensors.shape_of_rows("mix.saliency", 3, rows) : shape;
  const auto& mask_shape = mask ? tensors.shape_of_rows("mix.mask", 3, rows) : shape;
  const auto maps = saliency ? tensors.numbers("mix.saliency") : std::vector<double>{},
             masks = mask ? tensors.numbers("mix.mask") : std::vector<double>{};
  for (std::size_t row = 0; row < std::min(items, static_cast<std::size_t>(shape[0])); ++row) {
    SheetRow line;
    if (joint) {
      const auto count = static_cast<std::size_t>(pictures);
      const auto first = most_shown(assignment, count, row, count),
                 second = most_shown(assignment, count, row, first);
      line.cells = {picture_of(firsts, shape, first), picture_of(firsts, shape, second)};
    } else {
      line.cells = {picture_of(firsts, shape, row), picture_of(seconds, shape, row)};
    }
    if (saliency) line.cells.push_back(map_of(maps, saliency_shape, row, side, true));
    if (mask) line.cells.push_back(map_of(masks, mask_shape, row, side, false));
    line.cells.push_back(picture_of(mixed, shape, row));
    line.caption = label_text(labels, classes, row);
    sheet.rows.push_back(std::move(line));
  }
  return sheet;
}

}  // namespace

bool is_mixing_trace(const fs::path& folder) {
  const auto files = step_files(folder);
  if (files.empty()) return false;
  try {
    const io::SafetensorsFile file(files.front());
    const auto method = file.metadata().find("method");
    return method != file.metadata().end() && !method->second.empty();
  } catch (const Error&) {
    return false;
  }
}

std::optional<MixingSheet> mixing_sheet(const fs::path& folder, std::size_t items) {
  for (const auto& path : step_files(folder)) {
    const io::SafetensorsFile file(path);
    const Tensors tensors(file);
    if (tensors.has("mix.applied") && tensors.number("mix.applied") > 0) return sheet_of(file, items);
  }
  return std::nullopt;
}

}  // namespace deda::report
