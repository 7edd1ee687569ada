#include "report/overlay.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>
#include <set>
#include <tuple>

#include "core/error.h"
#include "core/escaped_name.h"
#include "core/files.h"
#include "decoupling/exclusions.h"
#include "decoupling/mask_quality.h"
#include "io/pictures/image_codec.h"
#include "io/pictures/resize.h"
#include "report/contact_sheet.h"
#include "report/letters.h"

namespace deda::report {

namespace {

using decoupling::FoundObject;
using decoupling::Look;

const cv::Scalar used_colour(40, 170, 70), rejected_colour(210, 50, 50);
constexpr double mask_opacity = 0.45, text_scale = 0.4;
constexpr int grey_ground = 210, words_grey = 70, text_height = 12;
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

Original picture_of(const Look& look, const Originals& originals) {
  return originals.picture(look.source, look.height, look.width, look.turned != 1);
}

// Below, on a ground without a picture.
void say(cv::Mat& canvas, const std::string& words) {
  constexpr int margin = 6;
  cv::putText(canvas, words, {margin, canvas.rows - margin}, cv::FONT_HERSHEY_SIMPLEX, text_scale,
              cv::Scalar::all(words_grey), 1, cv::LINE_AA);
}

// One line on classes that have no picture; empty where all have some.
std::string words_on_left_out(const std::vector<ClassLooks>& classes) {
  std::vector<std::string> names;
  for (const ClassLooks& owner : classes) {
    if (owner.pictures == 0) names.push_back(owner.name);
  }
  return names.empty() ? std::string{}
                       : fmt::format("{} of {} classes have no picture in this store and are left out: {}",
                                     names.size(), classes.size(), few_of(names));
}

// What the scores say in a sentence or two.
std::string words_on(const MaskScores& scores, const std::vector<Look>& looks) {
  double sum = 0;
  std::int64_t doubtful = 0, scored = 0;
  for (const Look& look : looks) {
    const auto score = scores.find(look.item);
    if (score == scores.end()) continue;
    ++scored;
    sum += score->second.quality();
    doubtful += score->second.quality() < doubtful_quality;
  }
  return fmt::format(
      "Mask scores of a classifier: the probability of the class for the CDP alone, times one minus that for "
      "the CIP alone (1 is best). {} of {} pictures have one, {:.2f} in the mean; {} are below {:.1f}. "
      "A picture without a score comes after those with one.",
      scored, looks.size(), scored > 0 ? sum / static_cast<double>(scored) : 0.0, doubtful, doubtful_quality);
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
                        readable_line(fmt::format("{}", fmt::join(doubt.reasons, ", "))));
  }
  return text;
}

}  // namespace

io::Image draw_overlay(const Look& look, const io::Image& picture, int side, const std::string& why_not) {
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
  if (picture.empty() && !why_not.empty()) say(canvas, why_not);
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
  constexpr std::size_t widest_name = 48;
  std::size_t width = count_letters("class");
  for (const ClassLooks& owner : classes) {
    if (owner.pictures > 0) width = std::max(width, std::min(widest_name, count_letters(owner.name)));
  }
  std::string text = fmt::format("{} {:>8} {:>9} {:>8} {:>9}  {}\n", padded("class", width), "pictures",
                                 "no parts", "objects", "rejected", "pictures by route");
  for (const ClassLooks& owner : classes) {
    if (owner.pictures > 0)
      text +=
          fmt::format("{} {:>8} {:>9} {:>8} {:>9}  {}\n", padded(shortened(owner.name, widest_name), width),
                      owner.pictures, owner.without_parts, owner.objects, owner.rejected_objects,
                      route_words(owner.routes));
  }
  if (const std::string left_out = words_on_left_out(classes); !left_out.empty()) text += left_out + '\n';
  return text;
}

void add_to_page(Page& page, const std::vector<ClassLooks>& classes) {
  std::vector<std::vector<TableCell>> rows;
  for (const ClassLooks& owner : classes) {
    if (owner.pictures == 0) continue;
    rows.push_back({{owner.name},
                    {std::to_string(owner.pictures), true},
                    {std::to_string(owner.without_parts), true},
                    {std::to_string(owner.objects), true},
                    {std::to_string(owner.rejected_objects), true},
                    {route_words(owner.routes)}});
  }
  page.table({"class", "pictures", "without parts", "objects used", "objects rejected", "pictures by route"},
             rows);
  if (const std::string left_out = words_on_left_out(classes); !left_out.empty())
    page.paragraph(left_out + '.');
}

std::vector<Doubt> find_doubts(const std::vector<Look>& looks, const MaskScores& scores) {
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
      if (look.quality >= 0 && look.quality < decoupling::low_mask_quality)
        add(2 * (decoupling::low_mask_quality - look.quality) / decoupling::low_mask_quality + 0.5,
            fmt::format("colours inside and around differ by {:.2f} only", look.quality));
      if (shape.used >= many_objects) add(0.5, fmt::format("{} objects", shape.used));
      if (look.attempts.size() > 1) add(1, "route " + look.route + " after another failed");
    }
    if (const auto score = scores.find(look.item); score != scores.end()) {
      doubt.quality = score->second.quality();
      if (*doubt.quality < doubtful_quality) add(1, words_of(score->second));
    }
    if (!doubt.reasons.empty()) doubts.push_back(std::move(doubt));
  }
  const auto rank = [](const Doubt& doubt) {
    return std::tuple{!doubt.quality, doubt.quality.value_or(0), -doubt.weight};
  };
  std::stable_sort(doubts.begin(), doubts.end(),
                   [&](const Doubt& a, const Doubt& b) { return rank(a) < rank(b); });
  return doubts;
}

OverlaySheet overlay_sheet(const std::vector<Look>& looks, const Originals& originals,
                           const MaskScores& scores, std::size_t count, int side) {
  constexpr std::size_t columns = 4;
  OverlaySheet sheet;
  std::vector<std::size_t> order;
  for (const Doubt& doubt : find_doubts(looks, scores)) order.push_back(doubt.look);
  const std::set<std::size_t> doubtful(order.begin(), order.end());
  for (std::size_t i = 0; i < looks.size(); ++i) {
    if (doubtful.count(i) == 0) order.push_back(i);
  }
  order.resize(std::min(order.size(), count));
  std::vector<SheetRow> rows;
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (i % columns == 0) rows.emplace_back();
    const Look& look = looks[order[i]];
    const Original original = picture_of(look, originals);
    sheet.missing_pictures += original.image.empty();
    rows.back().cells.push_back(draw_overlay(look, original.image, side, original.why_not));
    const std::string name = std::filesystem::path(look.source).filename().string();
    const auto score = scores.find(look.item);
    rows.back().below.push_back(
        name + (look.route.empty() ? " (no parts)" : "") +
        (score == scores.end() ? "" : fmt::format(" {:.2f}", score->second.quality())));
  }
  sheet.shown = static_cast<std::int64_t>(order.size());
  sheet.captions = undrawable_captions(rows);
  sheet.image = render_sheet(std::vector<std::string>(columns, ""), rows, side);
  return sheet;
}

std::int64_t write_overlays(const std::filesystem::path& folder, const std::vector<Look>& looks,
                            const Originals& originals, int side) {
  constexpr int jpeg_quality = 88;
  std::int64_t missing_pictures = 0;
  make_folder(folder);
  for (const Look& look : looks) {
    const Original original = picture_of(look, originals);
    missing_pictures += original.image.empty();
    io::write_image(folder / fmt::format("{:06}.jpg", look.item),
                    draw_overlay(look, original.image, side, original.why_not), jpeg_quality);
  }
  return missing_pictures;
}

std::filesystem::path write_review(const std::filesystem::path& page_path, const io::StoreReader& store,
                                   const std::filesystem::path& dataset_root) {
  constexpr int side = 420;
  constexpr std::size_t most_shown = 300;  // pictures on the page: it must open in a browser
  const auto looks = decoupling::read_looks(store.folder());
  const MaskScores scores = read_mask_scores(store);
  const auto doubts = find_doubts(looks, scores);
  const Originals originals(store, {dataset_root});
  std::filesystem::path text_path = page_path;
  text_path.replace_extension(".exclude.txt");
  Page page("Decoupling of " + store.description().dataset,
            fmt::format("{} of {} pictures deserve a look, {} first", doubts.size(), looks.size(),
                        scores.empty() ? "the gravest" : "the lowest mask score"));
  page.paragraph(
      fmt::format("Green: masks that became parts. Red: rejected, with the reason below. To leave pictures "
                  "out, take the # away in "
                  "{} and run the same command with --set decouple.exclude=... on that file.",
                  text_path.filename().string()));
  if (!scores.empty()) page.paragraph(words_on(scores, looks));
  page.heading("By class");
  add_to_page(page, summarize_looks(store, looks));
  page.heading("Doubtful pictures");
  page.begin_columns();
  std::int64_t shown_pictures = 0, missing = 0;
  for (std::size_t i = 0; i < doubts.size() && i < most_shown; ++i) {
    const Look& look = looks[doubts[i].look];
    std::vector<std::string> lines = doubts[i].reasons;
    if (doubts[i].quality && *doubts[i].quality >= doubtful_quality)
      lines.push_back(words_of(scores.at(look.item)));
    for (const auto& attempt : look.attempts) {
      for (const FoundObject& object : attempt.objects) {
        if (!object.rejected.empty() && lines.size() < 8)
          lines.push_back(
              fmt::format("rejected {} {:.2f}: {}", object.phrase, object.score, object.rejected));
      }
    }
    const Original original = picture_of(look, originals);
    ++shown_pictures;
    missing += original.image.empty();
    page.picture(draw_overlay(look, original.image, side, original.why_not),
                 fmt::format("{}: {}", look.source, fmt::join(lines, "; ")));
  }
  page.end_columns();
  page.paragraph(words_on(originals, shown_pictures, missing));
  if (doubts.size() > most_shown)
    page.paragraph(fmt::format("{} more are in the text file.", doubts.size() - most_shown));
  if (page_path.has_parent_path()) make_folder(page_path.parent_path());
  page.save(page_path);
  if (!std::filesystem::exists(text_path))
    write_atomically(text_path, text_for_exclusion(doubts, looks, store.description().sources));
  return text_path;
}

}  // namespace deda::report
