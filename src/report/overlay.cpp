#include "report/overlay.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>
#include <set>

#include "core/error.h"
#include "core/files.h"
#include "core/quoted_text.h"
#include "decoupling/exclusions.h"
#include "io/pictures/image_codec.h"
#include "io/pictures/resize.h"
#include "report/contact_sheet.h"

namespace deda::report {

namespace {

using decoupling::FoundObject;
using decoupling::Look;

const cv::Scalar used_colour(40, 170, 70), rejected_colour(210, 50, 50);
constexpr double mask_opacity = 0.45, text_scale = 0.4;
constexpr int grey_ground = 210, text_height = 12;
constexpr std::size_t most_drawn = 200;  // objects of one picture

io::Image ground_of(const Look& look, const io::Image& picture, int side) {
  const int height = picture.empty() ? std::max(1, look.height) : picture.height;
  const int width = picture.empty() ? std::max(1, look.width) : picture.width;
  const double scale = static_cast<double>(side) / std::max(height, width);
  const int to_height = std::max(1, static_cast<int>(std::lround(height * scale)));
  const int to_width = std::max(1, static_cast<int>(std::lround(width * scale)));
  if (!picture.empty()) return io::resize(picture, to_height, to_width);
  io::Image ground(to_height, to_width, 3);
  std::fill(ground.pixels.begin(), ground.pixels.end(), static_cast<std::uint8_t>(grey_ground));
  return ground;
}

void draw_mask(cv::Mat& canvas, const FoundObject& object, const cv::Scalar& colour) {
  if (object.sketch.empty()) return;
  const io::Image small = decoupling::mask_of(object.sketch);
  const cv::Mat view(small.height, small.width, CV_8U, const_cast<std::uint8_t*>(small.pixels.data()));
  cv::Mat mask;
  cv::resize(view, mask, canvas.size(), 0, 0, cv::INTER_LINEAR);
  for (int y = 0; y < canvas.rows; ++y) {
    for (int x = 0; x < canvas.cols; ++x) {
      if (mask.at<std::uint8_t>(y, x) < 128) continue;
      auto& pixel = canvas.at<cv::Vec3b>(y, x);
      for (int c = 0; c < 3; ++c)
        pixel[c] = cv::saturate_cast<std::uint8_t>(pixel[c] * (1 - mask_opacity) + colour[c] * mask_opacity);
    }
  }
}

void draw_box(cv::Mat& canvas, const FoundObject& object, const Look& look, const cv::Scalar& colour) {
  if (look.width < 1 || look.height < 1) return;
  const double scale_x = static_cast<double>(canvas.cols) / look.width;
  const double scale_y = static_cast<double>(canvas.rows) / look.height;
  const auto place = [](double value, int size) { return std::clamp(static_cast<int>(value), 0, size - 1); };
  const cv::Point from(place(object.box[0] * scale_x, canvas.cols),
                       place(object.box[1] * scale_y, canvas.rows));
  const cv::Point to(place(object.box[2] * scale_x, canvas.cols),
                     place(object.box[3] * scale_y, canvas.rows));
  cv::rectangle(canvas, from, to, colour, 1, cv::LINE_AA);
  const std::string text = object.phrase.empty() ? fmt::format("{:.2f}", object.score)
                                                 : fmt::format("{} {:.2f}", object.phrase, object.score);
  const cv::Point baseline(from.x + 2, std::min(canvas.rows - 2, from.y + text_height));
  cv::putText(canvas, text, baseline, cv::FONT_HERSHEY_SIMPLEX, text_scale, cv::Scalar(255, 255, 255), 3,
              cv::LINE_AA);
  cv::putText(canvas, text, baseline, cv::FONT_HERSHEY_SIMPLEX, text_scale, colour, 1, cv::LINE_AA);
}

// What is known of the used masks from their sketches.
struct Shape {
  double share = 0;  // of the picture
  int pieces = 0;    // that are not tiny beside the largest
  double lowest_score = 1;
  std::size_t used = 0, rejected = 0;
};

int pieces_of(const cv::Mat& mask) {
  constexpr double tiny = 0.02;  // of the largest
  cv::Mat labels, statistics, centroids;
  const int count = cv::connectedComponentsWithStats(mask, labels, statistics, centroids, 8, CV_32S);
  int largest = 0, pieces = 0;
  for (int i = 1; i < count; ++i) largest = std::max(largest, statistics.at<int>(i, cv::CC_STAT_AREA));
  for (int i = 1; i < count; ++i) pieces += statistics.at<int>(i, cv::CC_STAT_AREA) >= tiny * largest;
  return pieces;
}

Shape shape_of(const Look& look) {
  Shape shape;
  cv::Mat merged;
  for (const auto& attempt : look.attempts) {
    for (const FoundObject& object : attempt.objects) {
      if (!object.rejected.empty()) {
        ++shape.rejected;
        continue;
      }
      ++shape.used;
      shape.lowest_score = std::min(shape.lowest_score, object.score);
      if (object.sketch.empty()) continue;
      const io::Image mask = decoupling::mask_of(object.sketch);
      const cv::Mat view(mask.height, mask.width, CV_8U, const_cast<std::uint8_t*>(mask.pixels.data()));
      if (merged.empty()) merged = cv::Mat::zeros(view.size(), CV_8U);
      if (merged.size() == view.size()) merged |= view;
    }
  }
  if (merged.empty()) return shape;
  shape.share = static_cast<double>(cv::countNonZero(merged)) / static_cast<double>(merged.total());
  shape.pieces = pieces_of(merged);
  return shape;
}

std::string route_words(const std::map<std::string, std::int64_t>& routes) {
  std::string text;
  for (const auto& [route, count] : routes)
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, route);
  return text.empty() ? "none" : text;
}

io::Image picture_of(const Look& look, const std::filesystem::path& root) {
  if (root.empty()) return {};
  try {
    io::Image picture = io::read_image(root / look.source).image;
    // Rows that the dataset's layout cuts off below (a banner) are no part of what the sources saw.
    if (look.height > 0 && look.height < picture.height && look.width == picture.width) {
      picture.pixels.resize(static_cast<std::size_t>(look.height) * static_cast<std::size_t>(picture.width) *
                            3);
      picture.height = look.height;
    }
    return picture;
  } catch (const Error&) {
    return {};
  }
}

// `sources`: the pictures' paths by item; those of the looks are for people.
std::string text_for_exclusion(const std::vector<Doubt>& doubts, const std::vector<Look>& looks,
                               const std::vector<std::string>& sources) {
  std::string text =
      "# Pictures that give no parts. One path a line; a line that begins with # does nothing. Paths with "
      "unusual\n"
      "# characters stand in double quotes.\n"
      "# Below, the doubtful ones, gravest first: take the # away where the mask is wrong, then run\n"
      "#   deda decouple ... --set decouple.exclude=THIS_FILE\n\n";
  for (const Doubt& doubt : doubts) {
    const Look& look = looks[doubt.look];
    if (look.route.empty()) continue;  // gives no parts anyway
    const std::string path = look.item >= 0 && static_cast<std::size_t>(look.item) < sources.size()
                                 ? sources[static_cast<std::size_t>(look.item)]
                                 : look.source;
    text += fmt::format("#{}  # {}\n", decoupling::exclusion_entry(path),
                        shown(fmt::format("{}", fmt::join(doubt.reasons, ", "))));
  }
  return text;
}

}  // namespace

io::Image draw_overlay(const Look& look, const io::Image& picture, int side) {
  io::Image overlay = ground_of(look, picture, side);
  cv::Mat canvas(overlay.height, overlay.width, CV_8UC3, overlay.pixels.data());
  // What was rejected lies below what was used; boxes and text above all masks.
  for (const bool used : {false, true}) {
    for (const auto& attempt : look.attempts) {
      for (const FoundObject& object : attempt.objects) {
        if (object.rejected.empty() == used) draw_mask(canvas, object, used ? used_colour : rejected_colour);
      }
    }
  }
  std::size_t drawn = 0;
  for (const auto& attempt : look.attempts) {
    for (const FoundObject& object : attempt.objects) {
      if (drawn++ < most_drawn)
        draw_box(canvas, object, look, object.rejected.empty() ? used_colour : rejected_colour);
    }
  }
  return overlay;
}

std::vector<ClassLooks> summarize_looks(const io::StoreReader& store, const std::vector<Look>& looks) {
  const io::StoreDescription& description = store.description();
  std::vector<ClassLooks> classes(description.class_names.size());
  for (std::size_t i = 0; i < classes.size(); ++i) classes[i].name = description.class_names[i];
  for (const Look& look : looks) {
    if (look.item < 0 || static_cast<std::size_t>(look.item) >= description.source_classes.size()) continue;
    const std::int32_t id = description.source_classes[static_cast<std::size_t>(look.item)];
    if (id < 0 || static_cast<std::size_t>(id) >= classes.size()) continue;
    ClassLooks& owner = classes[static_cast<std::size_t>(id)];
    ++owner.pictures;
    if (look.route.empty())
      ++owner.without_parts;
    else
      ++owner.routes[look.route];
    for (const auto& attempt : look.attempts) {
      for (const FoundObject& object : attempt.objects)
        ++(object.rejected.empty() ? owner.objects : owner.rejected_objects);
    }
  }
  return classes;
}

std::string to_text(const std::vector<ClassLooks>& classes) {
  std::string text = fmt::format("{:<28} {:>8} {:>9} {:>8} {:>9}  {}\n", "class", "pictures", "no parts",
                                 "objects", "rejected", "pictures by route");
  for (const ClassLooks& owner : classes)
    text +=
        fmt::format("{:<28} {:>8} {:>9} {:>8} {:>9}  {}\n", owner.name.substr(0, 28), owner.pictures,
                    owner.without_parts, owner.objects, owner.rejected_objects, route_words(owner.routes));
  return text;
}

void add_to_page(Page& page, const std::vector<ClassLooks>& classes) {
  std::vector<std::vector<TableCell>> rows;
  for (const ClassLooks& owner : classes)
    rows.push_back({{owner.name},
                    {std::to_string(owner.pictures), true},
                    {std::to_string(owner.without_parts), true},
                    {std::to_string(owner.objects), true},
                    {std::to_string(owner.rejected_objects), true},
                    {route_words(owner.routes)}});
  page.table({"class", "pictures", "without parts", "objects used", "objects rejected", "pictures by route"},
             rows);
}

std::vector<Doubt> find_doubts(const std::vector<Look>& looks) {
  constexpr double small_share = 0.03, huge_share = 0.7, low_score = 0.4;
  constexpr std::size_t many_objects = 4;
  std::vector<Doubt> doubts;
  for (std::size_t i = 0; i < looks.size(); ++i) {
    const Look& look = looks[i];
    Doubt doubt;
    doubt.look = i;
    const auto add = [&](double weight, std::string reason) {
      doubt.weight += weight;
      doubt.reasons.push_back(std::move(reason));
    };
    const Shape shape = shape_of(look);
    if (look.route.empty()) {
      add(1, fmt::format("{}: {}", io::name_of(look.outcome), look.reason));
    } else {
      if (shape.share > 0 && shape.share < small_share)
        add(3 * (small_share - shape.share) / small_share + 1,
            fmt::format("small: {:.1f} % of the picture", 100 * shape.share));
      if (shape.share > huge_share)
        add(3 * (shape.share - huge_share) / (1 - huge_share) + 1,
            fmt::format("huge: {:.0f} % of the picture", 100 * shape.share));
      if (shape.pieces > 1) add(0.5 * std::min(shape.pieces, 6), fmt::format("{} pieces", shape.pieces));
      if (shape.lowest_score < low_score)
        add(3 * (low_score - shape.lowest_score) / low_score + 0.5,
            fmt::format("score {:.2f}", shape.lowest_score));
      if (shape.used >= many_objects) add(0.5, fmt::format("{} objects", shape.used));
      if (look.attempts.size() > 1) add(1, "route " + look.route + " after another failed");
    }
    if (!doubt.reasons.empty()) doubts.push_back(std::move(doubt));
  }
  std::stable_sort(doubts.begin(), doubts.end(),
                   [](const Doubt& a, const Doubt& b) { return a.weight > b.weight; });
  return doubts;
}

io::Image overlay_sheet(const std::vector<Look>& looks, const std::filesystem::path& dataset_root,
                        std::size_t count, int side) {
  constexpr std::size_t columns = 4;
  std::vector<std::size_t> order;
  for (const Doubt& doubt : find_doubts(looks)) order.push_back(doubt.look);
  const std::set<std::size_t> doubtful(order.begin(), order.end());
  for (std::size_t i = 0; i < looks.size(); ++i) {
    if (doubtful.count(i) == 0) order.push_back(i);
  }
  order.resize(std::min(order.size(), count));
  std::vector<SheetRow> rows;
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (i % columns == 0) rows.emplace_back();
    const Look& look = looks[order[i]];
    rows.back().cells.push_back(draw_overlay(look, picture_of(look, dataset_root), side));
    const std::string name = std::filesystem::path(look.source).filename().string();
    rows.back().caption +=
        (rows.back().caption.empty() ? "" : "   ") + name + (look.route.empty() ? " (no parts)" : "");
  }
  return render_sheet(std::vector<std::string>(columns, ""), rows, side);
}

void write_overlays(const std::filesystem::path& folder, const std::vector<Look>& looks,
                    const std::filesystem::path& dataset_root, int side) {
  constexpr int jpeg_quality = 88;
  make_folder(folder);
  for (const Look& look : looks)
    io::write_image(folder / fmt::format("{:06}.jpg", look.item),
                    draw_overlay(look, picture_of(look, dataset_root), side), jpeg_quality);
}

std::filesystem::path write_review(const std::filesystem::path& page_path, const io::StoreReader& store,
                                   const std::filesystem::path& dataset_root) {
  constexpr int side = 420;
  constexpr std::size_t most_shown = 300;  // pictures on the page: it must open in a browser
  const auto looks = decoupling::read_looks(store.folder());
  const auto doubts = find_doubts(looks);
  std::filesystem::path text_path = page_path;
  text_path.replace_extension(".exclude.txt");
  Page page("Decoupling of " + store.description().dataset,
            fmt::format("{} of {} pictures deserve a look, the gravest first", doubts.size(), looks.size()));
  page.paragraph(
      fmt::format("Green: masks that became parts. Red: rejected, with the reason below. To leave pictures "
                  "out, take the # away in "
                  "{} and run the same command with --set decouple.exclude=... on that file.",
                  text_path.filename().string()));
  page.heading("By class");
  add_to_page(page, summarize_looks(store, looks));
  page.heading("Doubtful pictures");
  page.begin_columns();
  for (std::size_t i = 0; i < doubts.size() && i < most_shown; ++i) {
    const Look& look = looks[doubts[i].look];
    std::vector<std::string> lines = doubts[i].reasons;
    for (const auto& attempt : look.attempts) {
      for (const FoundObject& object : attempt.objects) {
        if (!object.rejected.empty() && lines.size() < 8)
          lines.push_back(
              fmt::format("rejected {} {:.2f}: {}", object.phrase, object.score, object.rejected));
      }
    }
    page.picture(draw_overlay(look, picture_of(look, dataset_root), side),
                 fmt::format("{}: {}", shown(look.source), fmt::join(lines, "; ")));
  }
  page.end_columns();
  if (doubts.size() > most_shown)
    page.paragraph(fmt::format("{} more are in the text file.", doubts.size() - most_shown));
  if (page_path.has_parent_path()) make_folder(page_path.parent_path());
  page.save(page_path);
  if (!std::filesystem::exists(text_path))
    write_atomically(text_path, text_for_exclusion(doubts, looks, store.description().sources));
  return text_path;
}

}  // namespace deda::report
