// Which generated pictures are kept, by what CLIP says of them; pure functions of scores. Real-Guidance: the
// picture's own class must be likelier than chance among all class prompts (He et al., ICLR 2023,
// section 3.1). Diff-Mix: the tenth of the pictures that least shows an object of the dataset's kind is
// dropped (Wang et al., CVPR 2024, by the authors' program). No Torch: scores are kept in the store, and
// another threshold needs no new pictures.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace deda::diffusion {

// "a photo with a bird on it", "a photo without a bird on it": the first one's share is a picture's score.
// `noun`: what all of the dataset's pictures show; ConfigError when it is empty. (The authors' captions for
// aircraft misspell the word; here it is the dataset's.)
std::pair<std::string, std::string> with_and_without(const std::string& noun);

// "a photo of a NAME" for every class, in their order.
std::vector<std::string> class_prompts(const std::vector<std::string>& class_names);

// Scores to be filtered: one for each picture, with the picture's class.
struct ScoredPictures {
  std::vector<double> scores;         // in 0..1; below 0 (not measured), NaN, infinity: no score
  std::vector<std::int32_t> classes;  // of the same pictures, in 0..class_names.size() - 1
  std::vector<std::string> class_names;
};

struct FilteredClass {
  std::string name;
  std::int64_t kept = 0, dropped = 0;  // together: all pictures of the class
  std::int64_t without_score = 0;      // of the dropped ones
};

struct FilterResult {
  double threshold = 0;  // what scores were held against; NaN where no picture has one
  std::vector<bool> kept;
  std::vector<FilteredClass> classes;  // of all class names, in their order

  std::int64_t kept_count() const;
  std::int64_t dropped_count() const;
  std::int64_t without_score() const;
  // Classes that had pictures and have none left.
  std::vector<std::string> emptied_classes() const;
  // "kept 90 of 100 pictures, score at least 0.412; without a score: 1; no picture is left of: sparrow".
  std::string summary() const;
};

// Keeps scores > 1/N over N classes. A score: the softmax probability of the picture's own class among all
// class prompts, in float32: chance is rounded to float32 as well, so that a picture that goes with all
// prompts equally well is dropped. DataError when the numbers of scores and classes differ or a class is
// unknown.
FilterResult keep_above_chance(const ScoredPictures& pictures);

// Keeps scores >= the `percent`-th percentile of those that there are, in double, as numpy.percentile
// interpolates (linear); of equal scores at the threshold all are kept. ConfigError for a percentage outside
// of 0..100, DataError as above.
FilterResult drop_lowest(const ScoredPictures& pictures, double percent);
inline constexpr double diff_mix_percent = 10.0;

}  // namespace deda::diffusion
