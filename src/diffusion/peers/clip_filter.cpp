#include "diffusion/peers/clip_filter.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/error.h"
#include "diffusion/prompts.h"

namespace deda::diffusion {
namespace {

constexpr double whole_percent = 100.0;
constexpr std::size_t most_classes_named = 8;

void check(const ScoredPictures& pictures) {
  std::vector<Problem> problems;
  if (pictures.scores.size() != pictures.classes.size())
    problems.push_back({fmt::format("{} scores for the classes of {} pictures", pictures.scores.size(),
                                    pictures.classes.size()),
                        "CLIP filter",
                        {}});
  const auto count = static_cast<std::int64_t>(pictures.class_names.size());
  const auto unknown = [count](std::int32_t each) { return each < 0 || each >= count; };
  if (const auto found = std::find_if(pictures.classes.begin(), pictures.classes.end(), unknown);
      found != pictures.classes.end())
    problems.push_back({fmt::format("picture {} is of class {}, there are {}",
                                    found - pictures.classes.begin(), *found, count),
                        "CLIP filter",
                        {}});
  if (!problems.empty()) throw DataError(std::move(problems));
}

bool is_score(double value) {
  return std::isfinite(value) && value >= 0;
}

template <class Keep>
FilterResult filtered(const ScoredPictures& pictures, double threshold, const Keep& keep) {
  FilterResult result;
  result.threshold = threshold;
  for (const auto& name : pictures.class_names) result.classes.push_back({.name = name});
  for (std::size_t i = 0; i < pictures.scores.size(); ++i) {
    const double score = pictures.scores[i];
    auto& own = result.classes[static_cast<std::size_t>(pictures.classes[i])];
    const bool kept = is_score(score) && keep(score);
    result.kept.push_back(kept);
    ++(kept ? own.kept : own.dropped);
    if (!is_score(score)) ++own.without_score;
  }
  return result;
}

// numpy.percentile's default: at (n - 1) * percent / 100 between sorted values, from the nearer of the two.
double percentile(std::vector<double> values, double percent) {
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  std::sort(values.begin(), values.end());
  const double place = static_cast<double>(values.size() - 1) * (percent / whole_percent);
  const auto below = std::min(static_cast<std::size_t>(place), values.size() - 1);
  const auto above = std::min(below + 1, values.size() - 1);
  const double share = place - static_cast<double>(below), step = values[above] - values[below];
  return share >= 0.5 ? values[above] - step * (1 - share) : values[below] + step * share;
}

std::int64_t sum_over(const std::vector<FilteredClass>& classes, std::int64_t FilteredClass::*count) {
  return std::accumulate(classes.begin(), classes.end(), std::int64_t{0},
                         [count](std::int64_t sum, const FilteredClass& each) { return sum + each.*count; });
}

}  // namespace

std::pair<std::string, std::string> with_and_without(const std::string& noun) {
  if (noun.find_first_not_of(" \t\r\n") == std::string::npos)
    throw ConfigError("the captions of the CLIP filter need a word for what the pictures show", {},
                      "Say what all classes are, for instance bird.");
  return {"a photo with a " + noun + " on it", "a photo without a " + noun + " on it"};
}

std::vector<std::string> class_prompts(const std::vector<std::string>& class_names) {
  std::vector<std::string> prompts;
  for (const auto& name : class_names)
    prompts.push_back(fill_template(prompt_templates(TemplateSet::photo).front(), name));
  return prompts;
}

std::int64_t FilterResult::kept_count() const {
  return sum_over(classes, &FilteredClass::kept);
}

std::int64_t FilterResult::dropped_count() const {
  return sum_over(classes, &FilteredClass::dropped);
}

std::int64_t FilterResult::without_score() const {
  return sum_over(classes, &FilteredClass::without_score);
}

std::vector<std::string> FilterResult::emptied_classes() const {
  std::vector<std::string> names;
  for (const auto& each : classes) {
    if (each.kept == 0 && each.dropped > 0) names.push_back(each.name);
  }
  return names;
}

std::string FilterResult::summary() const {
  auto text = fmt::format("kept {} of {} pictures, threshold {:.4f}", kept_count(), kept.size(), threshold);
  if (const auto count = without_score(); count > 0) text += fmt::format("; without a score: {}", count);
  const auto emptied = emptied_classes();
  if (emptied.empty()) return text;
  const auto named = std::min(emptied.size(), most_classes_named);
  text += fmt::format("; no picture is left of {} of {} classes: ", emptied.size(), classes.size());
  text += fmt::format("{}",
                      fmt::join(emptied.begin(), emptied.begin() + static_cast<std::ptrdiff_t>(named), ", "));
  if (named < emptied.size()) text += ", ...";
  return text;
}

FilterResult keep_above_chance(const ScoredPictures& pictures) {
  check(pictures);
  // Without classes there are no pictures either.
  const auto chance =
      static_cast<double>(static_cast<float>(1.0 / static_cast<double>(pictures.class_names.size())));
  return filtered(pictures, chance, [chance](double score) { return score > chance; });
}

FilterResult drop_lowest(const ScoredPictures& pictures, double percent) {
  if (!(percent >= 0 && percent <= whole_percent))
    throw ConfigError(fmt::format("the share of pictures to drop is {} percent, outside of 0..100", percent));
  check(pictures);
  std::vector<double> measured;
  std::copy_if(pictures.scores.begin(), pictures.scores.end(), std::back_inserter(measured), is_score);
  const double threshold = percentile(std::move(measured), percent);
  return filtered(pictures, threshold, [threshold](double score) { return score >= threshold; });
}

}  // namespace deda::diffusion
