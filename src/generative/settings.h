// Settings of the generative peers: how their pictures are made, [generate.NAME], and how training uses them,
// [augment.NAME]. Defaults are the originals' where they say, else what De-DA's paper says of its peers
// (section 4.1); each method has the keys that concern it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/config.h"
#include "generative/method.h"

namespace deda::generative {

enum class PeerSampler : std::uint8_t { dpmpp2m_linspace, pndm_faithful, euler_ancestral_linspace };
// What CLIP judges, and so what a picture's score is.
enum class Filter : std::uint8_t {
  none,
  above_chance,  // its own class among all class prompts; kept above 1/N
  with_object,   // "a photo with a NOUN on it" against "without"; the lowest are dropped
};
// Which edits may take the place of a training picture.
enum class Pool : std::uint8_t {
  source,        // those made of it
  target_class,  // those made into its class, of any picture
  all,           // any edit of the dataset
};

struct GenerationSettings {
  explicit GenerationSettings(Method method);
  Method method;
  std::int64_t copies = 3;
  std::string prompt;                // but DiffuseMix
  std::vector<std::string> prompts;  // DiffuseMix
  std::vector<double> strengths;     // but DiffuseMix
  std::int64_t steps = 50;
  double guidance = 7.5, image_guidance = 1.5;
  PeerSampler sampler = PeerSampler::dpmpp2m_linspace;
  std::int64_t resolution = 0;
  std::int64_t stored_side = 512;
  Filter filter = Filter::none;
  std::string noun;
  // DA-Fusion: its textual inversion.
  std::string initial_word = "the";
  std::int64_t inversion_steps = 1000, inversion_batch = 4;
  double inversion_rate = 5e-4;
  // DiffuseMix.
  double fractal_share = 0.2;
  std::filesystem::path fractals;

  const MethodFacts& facts() const { return facts_of(method); }
  void describe(ConfigVisitor& v);
};

struct TrainingUse {
  explicit TrainingUse(Method method);
  Method method;
  double p_aug = 0.5;
  Pool pool = Pool::source;
  double gamma = 0.8;
  double drop_lowest = 10;  // percent
  bool filtered = true;

  void describe(ConfigVisitor& v);
};

// One entry for each method, in the table's order.
template <class Settings>
class ByMethod {
 public:
  ByMethod() {
    for (std::size_t i = 0; i < method_count; ++i) settings_.emplace_back(static_cast<Method>(i));
  }
  const Settings& operator[](Method method) const { return settings_[static_cast<std::size_t>(method)]; }
  Settings& operator[](Method method) { return settings_[static_cast<std::size_t>(method)]; }
  void describe_sections(ConfigVisitor& v) {
    for (auto& each : settings_) v.section(facts_of(each.method).name, facts_of(each.method).help, each);
  }

 private:
  std::vector<Settings> settings_;
};

}  // namespace deda::generative
