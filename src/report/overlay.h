// What the mask sources saw, drawn on the picture: boxes with scores and phrases, masks, and what was
// rejected with its reason; and which pictures deserve a second look.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "decoupling/looks.h"
#include "io/pictures/image.h"
#include "io/store/record_store.h"
#include "report/mask_scores.h"
#include "report/originals.h"
#include "report/page.h"

namespace deda::report {

// The picture shrunk to `side` pixels with everything on it: used masks green, rejected ones red, boxes in
// the same colours with "phrase score". An empty picture gives a grey ground of the look's proportions that
// says `why_not`.
io::Image draw_overlay(const decoupling::Look& look, const io::Image& picture, int side,
                       const std::string& why_not = {});

// Outcomes, routes and boxes of each class: one line per class, as text and as a table.
struct ClassLooks {
  std::string name;
  std::int64_t pictures = 0, without_parts = 0, objects = 0, rejected_objects = 0;
  std::map<std::string, std::int64_t> routes;  // pictures by the route that made their parts
};
std::vector<ClassLooks> summarize_looks(const io::StoreReader& store,
                                        const std::vector<decoupling::Look>& looks);
// A row per class that has pictures; the others are counted in one line.
std::string to_text(const std::vector<ClassLooks>& classes);
void add_to_page(Page& page, const std::vector<ClassLooks>& classes);

// Why a picture should be looked at, the gravest first; `quality` and `weight` order pictures.
struct Doubt {
  std::size_t look = 0;  // index into the looks
  double weight = 0;
  std::vector<std::string> reasons;
  std::optional<double> quality = {};  // of its mask, where it has a score
};

// Pictures with parts that are unusual (small, huge, in several pieces, low score, colours that hardly differ
// from those around, another route than the first, many objects), pictures without parts, and those of a
// doubtful mask score; those with a score by rising quality, then the others by falling weight, then by item.
std::vector<Doubt> find_doubts(const std::vector<decoupling::Look>& looks, const MaskScores& scores = {});

// Overlays of many pictures, and how many of the pictures were not at hand.
struct OverlaySheet {
  io::Image image;
  std::int64_t shown = 0, missing_pictures = 0;
  std::string captions;  // what could not be drawn below them: undrawable_captions()
};
// Up to `count` overlays on one sheet, the doubtful ones first, four in a row.
OverlaySheet overlay_sheet(const std::vector<decoupling::Look>& looks, const Originals& originals,
                           const MaskScores& scores, std::size_t count, int side);
// One JPEG per picture, FOLDER/000012.jpg, numbered as the store does. Returns how many pictures were not at
// hand.
std::int64_t write_overlays(const std::filesystem::path& folder, const std::vector<decoupling::Look>& looks,
                            const Originals& originals, int side);

// The page of `deda decouple --review` (with the store's mask scores where it has them: mask_scores.h), and
// beside it PAGE's name with .exclude.txt: the doubtful pictures as comments, for a person to uncomment. An
// existing text file is left alone. Returns the text file's path. DataError as read_mask_scores().
std::filesystem::path write_review(const std::filesystem::path& page, const io::StoreReader& store,
                                   const std::filesystem::path& dataset_root);

}  // namespace deda::report
