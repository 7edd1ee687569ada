// A made-up dataset in Pascal VOC's layout: pictures with two beetles of three kinds, annotations with boxes,
// class images, a list of classes. In training the ground tells which kinds are there (as dining tables tell
// chairs); in the test it tells nothing.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "core/files.h"
#include "core/random.h"
#include "data/toy_shapes.h"
#include "io/pictures/image.h"
#include "io/pictures/image_codec.h"

namespace deda::test {

struct MadeUpVoc {
  int train = 60, test = 60;  // pictures
  int size = 96;
  std::uint64_t seed = 1;
};

namespace made_up_voc {

inline constexpr std::array<const char*, 3> kinds{"striped", "spotted", "banded"};
// Every set of labels that two objects of three kinds can have.
inline constexpr std::array<std::array<int, 2>, 6> pairs{{{0, 0}, {1, 1}, {2, 2}, {0, 1}, {0, 2}, {1, 2}}};

inline std::string annotation(const io::Image& classes, const std::vector<std::array<int, 5>>& objects) {
  std::string text =
      fmt::format("<annotation><size><width>{}</width><height>{}</height><depth>3</depth></size>",
                  classes.width, classes.height);
  for (const auto& [kind, x1, y1, x2, y2] : objects)
    text += fmt::format(
        "<object><name>{}</name><difficult>0</difficult><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax>"
        "<ymax>{}</ymax></bndbox></object>",
        kinds[static_cast<std::size_t>(kind)], x1 + 1, y1 + 1, x2, y2);
  return text + "</annotation>\n";
}

inline void draw_one(const std::filesystem::path& root, const MadeUpVoc& voc, int index, bool training) {
  constexpr double part = 0.6;  // of the side: the square that a beetle is drawn in
  constexpr int samples = 2;
  const std::string name = fmt::format("{}{:04}", training ? "a" : "b", index);
  RandomStream draws{voc.seed, Purpose::toy_dataset, 7,
                     static_cast<std::uint64_t>(index) * 2 + (training ? 1 : 0)};
  const auto set = static_cast<std::size_t>(index) % pairs.size();
  auto kinds_here = pairs[set];
  if (draws.chance(0.5)) std::swap(kinds_here[0], kinds_here[1]);
  const int ground_kind = training ? static_cast<int>(set) : static_cast<int>(draws.below(6));
  const data::Ground ground{ground_kind, draws};
  const std::array<data::Beetle, 2> beetles{data::Beetle{kinds_here[0], draws},
                                            data::Beetle{kinds_here[1], draws}};
  const std::array<std::array<double, 2>, 2> corners{
      {{0.0, draws.uniform(0.0, 1 - part)}, {1 - part, draws.uniform(0.0, 1 - part)}}};
  io::Image image(voc.size, voc.size, 3), classes(voc.size, voc.size, 1);
  std::vector<std::array<int, 5>> objects;
  for (const int kind : kinds_here) objects.push_back({kind, voc.size, voc.size, 0, 0});
  for (int y = 0; y < voc.size; ++y) {
    for (int x = 0; x < voc.size; ++x) {
      data::Colour sum{};
      std::array<int, 2> covered{};
      for (int sample = 0; sample < samples * samples; ++sample) {
        const double px = (x + (sample % samples + 0.5) / samples) / voc.size,
                     py = (y + (sample / samples + 0.5) / samples) / voc.size;
        data::Colour colour = ground.at(px, py);
        for (std::size_t i = 0; i < beetles.size(); ++i) {
          const auto drawn = beetles[i].at((px - corners[i][0]) / part, (py - corners[i][1]) / part);
          if (drawn.coverage > 0) {
            colour = drawn.colour;
            covered = {};
            ++covered[i];
          }
        }
        for (std::size_t c = 0; c < 3; ++c) sum[c] += colour[c] / (samples * samples);
      }
      for (std::size_t c = 0; c < 3; ++c)
        image.row(y)[3 * static_cast<std::size_t>(x) + c] =
            static_cast<std::uint8_t>(std::lround(255 * std::clamp(sum[c], 0.0, 1.0)));
      for (std::size_t i = 0; i < beetles.size(); ++i) {
        if (covered[i] == 0) continue;
        classes.row(y)[x] = static_cast<std::uint8_t>(kinds_here[i] + 1);
        auto& [kind, x1, y1, x2, y2] = objects[i];
        x1 = std::min(x1, x);
        y1 = std::min(y1, y);
        x2 = std::max(x2, x + 1);
        y2 = std::max(y2, y + 1);
      }
    }
  }
  // A beetle that the other hides has no box.
  std::erase_if(objects, [](const auto& object) { return object[3] <= object[1] || object[4] <= object[2]; });
  io::write_image(root / "JPEGImages" / (name + ".jpg"), image, 95);
  io::write_image(root / "SegmentationClass" / (name + ".png"), classes);
  write_atomically(root / "Annotations" / (name + ".xml"), annotation(classes, objects));
}

}  // namespace made_up_voc

// Layout voc2007 below `root`.
inline void write_made_up_voc(const std::filesystem::path& root, const MadeUpVoc& voc) {
  for (const char* folder : {"JPEGImages", "SegmentationClass", "Annotations", "ImageSets/Main"})
    make_folder(root / folder);
  std::string classes;
  for (const char* kind : made_up_voc::kinds) classes += std::string{kind} + '\n';
  write_atomically(root / "classes.txt", classes);
  for (const bool training : {true, false}) {
    std::string list;
    for (int index = 0; index < (training ? voc.train : voc.test); ++index) {
      made_up_voc::draw_one(root, voc, index, training);
      list += fmt::format("{}{:04}\n", training ? "a" : "b", index);
    }
    write_atomically(root / "ImageSets" / "Main" / (training ? "trainval.txt" : "test.txt"), list);
  }
}

}  // namespace deda::test
