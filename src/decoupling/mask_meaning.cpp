#include "decoupling/mask_meaning.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "decoupling/mask_source.h"

namespace deda::decoupling {

namespace {

// One number per pixel, 0 ground.
struct Levels {
  int height = 0, width = 0;
  int white = 255;  // the largest number possible
  std::vector<std::uint16_t> numbers;

  std::uint16_t largest() const { return *std::max_element(numbers.begin(), numbers.end()); }
  bool constant() const {
    return std::adjacent_find(numbers.begin(), numbers.end(), std::not_equal_to<>{}) == numbers.end();
  }
};

Levels levels_like(const io::MaskFile& file, int white) {
  return {file.height, file.width, white, std::vector<std::uint16_t>(file.pixels())};
}

constexpr int white_of_palettes = 255;

std::array<std::uint8_t, 4> colour_of(const io::MaskFile& file, std::size_t index) {
  constexpr std::array<std::uint8_t, 4> opaque_black{0, 0, 0, 255};
  return index < file.palette.size() ? file.palette[index] : opaque_black;
}

Levels alpha_of(const io::MaskFile& file) {
  if (!file.palette.empty()) {
    Levels alpha = levels_like(file, white_of_palettes);
    for (std::size_t i = 0; i < alpha.numbers.size(); ++i)
      alpha.numbers[i] = colour_of(file, file.samples[i])[3];
    return alpha;
  }
  Levels alpha = levels_like(file, file.white);
  const auto channels = static_cast<std::size_t>(file.channels);
  const bool has_alpha = file.channels == 2 || file.channels == 4;
  for (std::size_t i = 0; i < alpha.numbers.size(); ++i)
    alpha.numbers[i] =
        has_alpha ? file.samples[i * channels + channels - 1] : static_cast<std::uint16_t>(file.white);
  return alpha;
}

// How far from black: the largest colour channel.
Levels brightness_of_palette(const io::MaskFile& file, std::vector<std::string>& notes) {
  Levels levels = levels_like(file, white_of_palettes);
  for (std::size_t i = 0; i < levels.numbers.size(); ++i) {
    const auto colour = colour_of(file, file.samples[i]);
    levels.numbers[i] = std::max({colour[0], colour[1], colour[2]});
  }
  const auto [darkest, brightest] = std::minmax_element(levels.numbers.begin(), levels.numbers.end());
  const auto [lowest, highest] = std::minmax_element(file.samples.begin(), file.samples.end());
  const bool all_black = *brightest == 0 && *highest > 0, no_black = *darkest > 0 && *lowest == 0;
  const bool several = *lowest != *highest;
  if (!several || !(all_black || no_black)) return levels;
  notes.push_back(fmt::format("{} of the mask's colours is black: index 0 taken as ground",
                              all_black ? "every one" : "none"));
  for (std::size_t i = 0; i < levels.numbers.size(); ++i)
    levels.numbers[i] = file.samples[i] == 0 ? 0 : white_of_palettes;
  return levels;
}

Levels brightness_of(const io::MaskFile& file, std::vector<std::string>& notes) {
  if (!file.palette.empty()) return brightness_of_palette(file, notes);
  Levels levels = levels_like(file, file.white);
  const auto channels = static_cast<std::size_t>(file.channels);
  const std::size_t colours = channels - (file.channels == 2 || file.channels == 4 ? 1 : 0);
  for (std::size_t i = 0; i < levels.numbers.size(); ++i) {
    const std::uint16_t* pixel = &file.samples[i * channels];
    levels.numbers[i] = *std::max_element(pixel, pixel + colours);
  }
  return levels;
}

// Labels fill areas; the numbers of softened edges and of a codec's ringing differ from pixel to pixel.
bool lies_between_alone(const Levels& levels, std::uint16_t largest) {
  constexpr int eighths_of_object = 7;  // numbers from 7/8 of the largest count as it
  constexpr double most_flat_share = 0.5;
  std::size_t between = 0, flat = 0;
  const auto at = [&](int y, int x) {
    return levels.numbers[static_cast<std::size_t>(std::clamp(y, 0, levels.height - 1)) *
                              static_cast<std::size_t>(levels.width) +
                          static_cast<std::size_t>(std::clamp(x, 0, levels.width - 1))];
  };
  for (int y = 0; y < levels.height; ++y) {
    for (int x = 0; x < levels.width; ++x) {
      const auto number = at(y, x);
      if (number == 0 || number * 8 >= largest * eighths_of_object) continue;
      ++between;
      flat += number == at(y - 1, x) && number == at(y + 1, x) && number == at(y, x - 1) &&
              number == at(y, x + 1);
    }
  }
  return between > 0 && static_cast<double>(flat) < most_flat_share * static_cast<double>(between);
}

// 255 beside 1, 2, ... up to `largest_label`: void. Beside 128 it is the object, and 128 its border.
bool has_void(const Levels& levels, std::uint16_t largest) {
  constexpr std::uint16_t largest_label = 40;
  constexpr int least_white = 255;
  if (largest != levels.white || levels.white < least_white) return false;
  bool labels = false;
  for (const std::uint16_t number : levels.numbers) {
    if (number == 0 || number == largest) continue;
    if (number > largest_label) return false;
    labels = true;
  }
  return labels;
}

io::Image at_least(const Levels& levels, int twice_least) {
  io::Image mask(levels.height, levels.width, 1);
  for (std::size_t i = 0; i < mask.pixels.size(); ++i)
    mask.pixels[i] = levels.numbers[i] != 0 && levels.numbers[i] * 2 >= twice_least ? 255 : 0;
  return mask;
}

MeantMask meant_by(const Levels& levels, bool lossy, std::string_view format) {
  MeantMask meant;
  const std::uint16_t largest = levels.largest();
  if (lossy && largest > 0) {
    meant.object = at_least(levels, largest);
    meant.notes.push_back(
        fmt::format("the mask is a lossy {}: cut at half of its largest value {}", format, largest));
    return meant;
  }
  if (lies_between_alone(levels, largest)) {
    meant.object = at_least(levels, largest);
    meant.notes.push_back(
        fmt::format("the mask has soft edges: cut at half of its largest value {}", largest));
    return meant;
  }
  meant.object = at_least(levels, 0);
  if (!has_void(levels, largest)) return meant;
  meant.undecided = io::Image(levels.height, levels.width, 1);
  for (std::size_t i = 0; i < levels.numbers.size(); ++i) {
    if (levels.numbers[i] != largest) continue;
    meant.undecided.pixels[i] = 255;
    meant.object.pixels[i] = 0;
  }
  meant.notes.push_back(fmt::format("{} beside small labels in the mask: taken as undecided", largest));
  return meant;
}

struct Overlap {
  std::int64_t first = 0, second = 0, both = 0;
  double share_of_union() const {
    const auto either = first + second - both;
    return either == 0 ? 1 : static_cast<double>(both) / static_cast<double>(either);
  }
};

Overlap overlap_of(const io::Image& a, const io::Image& b) {
  Overlap overlap;
  for (std::size_t i = 0; i < a.pixels.size(); ++i) {
    overlap.first += a.pixels[i] != 0;
    overlap.second += b.pixels[i] != 0;
    overlap.both += a.pixels[i] != 0 && b.pixels[i] != 0;
  }
  return overlap;
}

bool colours_are_constant(const io::MaskFile& file, const Levels& brightness) {
  if (!file.palette.empty() || file.channels < 3) return brightness.constant();
  for (std::size_t i = 1; i < file.pixels(); ++i) {
    if (!std::equal(&file.samples[0], &file.samples[3],
                    &file.samples[i * static_cast<std::size_t>(file.channels)]))
      return false;
  }
  return true;
}

}  // namespace

MeantMask meant_mask(const io::MaskFile& file) {
  constexpr double colours_say_everything = 0.95, agreement = 0.95;
  const std::string_view format = io::name_of(file.format);
  std::vector<std::string> notes;
  const Levels alpha = alpha_of(file), brightness = brightness_of(file, notes);
  MeantMask by_colour = meant_by(brightness, file.lossy, format);
  by_colour.notes.insert(by_colour.notes.begin(), notes.begin(), notes.end());
  if (alpha.constant()) return by_colour;

  MeantMask by_alpha;
  by_alpha.object = at_least(alpha, alpha.white);
  if (colours_are_constant(file, brightness)) {
    by_alpha.notes.emplace_back("the mask's alpha channel is used: it alone varies");
    return by_alpha;
  }
  const Overlap overlap = overlap_of(by_alpha.object, by_colour.object);
  const std::int64_t coloured = area_of(at_least(brightness, 0));
  const bool says_nothing = coloured == 0 || static_cast<double>(coloured) >=
                                                 colours_say_everything * static_cast<double>(file.pixels());
  if (says_nothing || overlap.share_of_union() >= agreement) {
    by_alpha.notes.emplace_back(says_nothing ? "the mask's alpha channel is used: its colours are a picture"
                                             : "the mask's alpha channel is used: its colours agree");
    return by_alpha;
  }
  throw DataError(fmt::format("the mask's alpha channel and its colours tell different objects, of {} and {} "
                              "pixels",
                              overlap.first, overlap.second),
                  {}, "Save the mask as grey values without alpha.");
}

}  // namespace deda::decoupling
