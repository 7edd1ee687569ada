#include "models/grounding_dino/processing.h"

#include <utf8proc.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "core/error.h"
#include "io/pictures/resize.h"
#include "models/text/bert_tokenizer.h"
#include "models/text/unicode_text.h"
#include "models/weights/json_config.h"

namespace deda::models {
namespace {

void read_three(JsonConfig& json, const std::string& key, std::array<double, 3>& values) {
  const auto found = json.numbers(key, {values.begin(), values.end()});
  if (found.size() != values.size()) {
    json.problem(key, "must have three numbers, one for each of red, green and blue");
    return;
  }
  std::copy(found.begin(), found.end(), values.begin());
}

bool is_blank(std::int32_t code) {
  const auto category = utf8proc_category(code);
  return (code >= 9 && code <= 13) || (category >= UTF8PROC_CATEGORY_ZS && category <= UTF8PROC_CATEGORY_ZP);
}

// Lower case, without blanks at either end.
std::string tidied(const std::string& text) {
  auto codes = code_points(text);
  while (!codes.empty() && is_blank(codes.back())) codes.pop_back();
  const auto begin = std::find_if_not(codes.begin(), codes.end(), is_blank);
  std::string tidy;
  for (auto code = begin; code != codes.end(); ++code) tidy += utf8(utf8proc_tolower(*code));
  return tidy;
}

}  // namespace

GroundingDinoPictureConfig read_grounding_dino_picture_config(const std::filesystem::path& file) {
  JsonConfig whole(file);
  // transformers 5.x writes the tokenizer's and the pictures' settings into one file.
  auto json = whole.has("image_processor") ? whole.part("image_processor") : std::move(whole);
  GroundingDinoPictureConfig config;
  if (json.has("max_size")) {  // older files
    config.shortest_edge = json.integer("size", config.shortest_edge);
    config.longest_edge = json.integer("max_size", config.longest_edge);
  } else {
    auto size = json.part("size");
    config.shortest_edge = size.integer("shortest_edge", config.shortest_edge);
    config.longest_edge = size.integer("longest_edge", config.longest_edge);
    size.expect_null("height");
    size.expect_null("width");
  }
  constexpr std::int64_t largest_edge = 16384;
  if (config.shortest_edge > largest_edge || config.longest_edge > largest_edge)
    json.problem("size", "must not be larger than " + std::to_string(largest_edge));
  read_three(json, "image_mean", config.mean);
  read_three(json, "image_std", config.deviation);
  if (std::any_of(config.deviation.begin(), config.deviation.end(), [](double d) { return !(d > 0); }))
    json.problem("image_std", "must be above 0");
  config.rescale_factor = json.number("rescale_factor", config.rescale_factor);
  constexpr std::int64_t bilinear = 2;
  json.expect_integer("resample", bilinear);
  for (const char* step : {"do_resize", "do_rescale", "do_normalize", "do_pad"})
    json.expect_boolean(step, true);
  json.expect_null("pad_size");
  json.finish();
  return config;
}

PictureSize grounding_dino_size(std::int64_t height, std::int64_t width,
                                const GroundingDinoPictureConfig& config, GroundingDinoRules rules) {
  const auto shorter = std::min(height, width), longer = std::max(height, width);
  if (shorter < 1) throw DataError("a picture without pixels");
  auto target = static_cast<double>(config.shortest_edge);
  double unrounded = target;
  if (static_cast<double>(longer) / static_cast<double>(shorter) * target >
      static_cast<double>(config.longest_edge)) {
    unrounded =
        static_cast<double>(config.longest_edge) * static_cast<double>(shorter) / static_cast<double>(longer);
    target = std::nearbyint(unrounded);  // ties to even, as Python rounds
  }
  if (static_cast<double>(shorter) == target) return {height, width, false};
  // The original multiplies the rounded short side, transformers the unrounded one.
  const double factor = rules == GroundingDinoRules::original ? target : unrounded;
  const auto short_side = static_cast<std::int64_t>(target);
  const auto long_side =
      static_cast<std::int64_t>(factor * static_cast<double>(longer) / static_cast<double>(shorter));
  PictureSize size = height > width ? PictureSize{long_side, short_side} : PictureSize{short_side, long_side};
  size.clamped = size.height < 1 || size.width < 1;
  size.height = std::max<std::int64_t>(size.height, 1);
  size.width = std::max<std::int64_t>(size.width, 1);
  return size;
}

torch::Tensor grounding_dino_pixels(const io::Image& picture, const PictureSize& size,
                                    const GroundingDinoPictureConfig& config) {
  const bool fits = picture.height == size.height && picture.width == size.width;
  const auto resized =
      fits ? io::Image{} : io::resize(picture, static_cast<int>(size.height), static_cast<int>(size.width));
  const auto& source = fits ? picture : resized;
  const auto channels = static_cast<std::size_t>(source.channels);
  const auto count = static_cast<std::size_t>(source.height) * static_cast<std::size_t>(source.width);
  auto pixels = torch::empty({3, source.height, source.width}, torch::kFloat);
  float* target = pixels.data_ptr<float>();
  for (std::size_t channel = 0; channel < 3; ++channel) {
    // One of 256 values each.
    std::array<float, 256> value{};
    for (std::size_t level = 0; level < value.size(); ++level)
      value[level] = (static_cast<float>(static_cast<double>(level) * config.rescale_factor) -
                      static_cast<float>(config.mean[channel])) /
                     static_cast<float>(config.deviation[channel]);
    const auto* from = source.pixels.data() + (channels >= 3 ? channel : 0);
    for (std::size_t i = 0; i < count; ++i) *target++ = value[from[i * channels]];
  }
  return pixels;
}

PictureBatch pad_to_batch(const std::vector<torch::Tensor>& pixels) {
  std::int64_t height = 0, width = 0;
  for (const auto& each : pixels) {
    height = std::max(height, each.size(1));
    width = std::max(width, each.size(2));
  }
  const auto count = static_cast<std::int64_t>(pixels.size());
  PictureBatch batch{torch::zeros({count, 3, height, width}, torch::kFloat),
                     torch::zeros({count, height, width}, torch::kLong)};
  for (std::int64_t i = 0; i < count; ++i) {
    const auto& each = pixels[static_cast<std::size_t>(i)];
    const auto inside = [&](const torch::Tensor& t) {
      return t.slice(-2, 0, each.size(1)).slice(-1, 0, each.size(2));
    };
    inside(batch.pixel_values[i]).copy_(each);
    inside(batch.pixel_mask[i]).fill_(1);
  }
  return batch;
}

std::string grounding_dino_prompt(const std::string& text) {
  auto prompt = tidied(text);
  const auto codes = code_points(prompt);
  const bool has_word = std::any_of(codes.begin(), codes.end(), [](std::int32_t code) {
    return !is_blank(code) && code != '.' && code != '?';
  });
  if (!has_word)
    throw ConfigError("the prompt \"" + text + "\" holds no word", {}, "Name what to look for: \"bird\".");
  // Without the dot the last words would each stand alone (text_blocks.h).
  if (prompt.back() != '.') prompt += '.';
  return prompt;
}

std::string grounding_dino_prompt(const std::vector<std::string>& labels) {
  std::string prompt;
  for (const auto& label : labels) prompt += (prompt.empty() ? "" : ". ") + tidied(label);
  return grounding_dino_prompt(prompt);
}

GroundedBoxes grounded_boxes(const torch::Tensor& logits, const torch::Tensor& boxes,
                             const std::vector<std::int64_t>& ids, const BertTokenizer& tokenizer,
                             std::int64_t source_height, std::int64_t source_width,
                             const GroundingDinoThresholds& thresholds, GroundingDinoRules rules) {
  const auto probability = logits.to(torch::kCPU, torch::kFloat).sigmoid();
  const auto score = std::get<0>(probability.max(-1));
  const auto kept = (score > thresholds.box).nonzero().flatten();
  const auto half = boxes.to(torch::kCPU, torch::kFloat).index_select(0, kept);
  const auto centre = half.slice(1, 0, 2), reach = 0.5 * half.slice(1, 2, 4);
  const auto width = static_cast<float>(source_width), height = static_cast<float>(source_height);
  const auto corners =
      (torch::cat({centre - reach, centre + reach}, 1) * torch::tensor({width, height, width, height}))
          .contiguous();
  const auto in_phrase = (probability.index_select(0, kept) > thresholds.text).contiguous();
  const auto kept_score = score.index_select(0, kept).contiguous();
  GroundedBoxes found;
  const auto last = std::min<std::int64_t>(probability.size(1) - 1, static_cast<std::int64_t>(ids.size()));
  for (std::int64_t i = 0; i < kept.numel(); ++i) {
    const float* corner = corners.data_ptr<float>() + 4 * i;
    found.boxes.push_back({corner[0], corner[1], corner[2], corner[3]});
    found.scores.push_back(kept_score.data_ptr<float>()[i]);
    const bool* is_in_phrase = in_phrase.data_ptr<bool>() + i * in_phrase.size(1);
    std::vector<std::int64_t> tokens;
    for (std::int64_t column = 1; column < last; ++column) {
      if (is_in_phrase[column]) tokens.push_back(ids[static_cast<std::size_t>(column)]);
    }
    auto phrase = tokenizer.decode(tokens);
    if (rules == GroundingDinoRules::original) std::erase(phrase, '.');
    found.phrases.push_back(std::move(phrase));
  }
  return found;
}

}  // namespace deda::models
