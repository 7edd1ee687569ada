#include "augment/sample_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "augment/policy.h"
#include "core/error.h"
#include "core/random.h"
#include "data/picture.h"

namespace deda::augment {

namespace {

constexpr std::int64_t bytes_per_megabyte = 1 << 20;
constexpr std::int64_t test_share = 4;  // the test crops may take a quarter of the cache

std::size_t bytes_of(const io::Image& image) {
  return image.pixels.size();
}

}  // namespace

TrainingSource::TrainingSource(const data::Dataset& dataset, std::vector<std::size_t> training, PartPool pool,
                               const AugmentConfig& config, std::uint64_t seed, EditPool edits)
    : dataset_{dataset},
      training_{std::move(training)},
      pool_{std::move(pool)},
      edits_{std::move(edits)},
      config_{config},
      geometry_{geometry_of(config)},
      seed_{seed},
      budget_{std::make_shared<CacheBudget>(config.cache_megabytes * bytes_per_megabyte / test_share *
                                            (test_share - 1))},
      naturals_{training_.size(), budget_},
      canvases_{training_.size(), budget_},
      edited_{edits_.size(), budget_} {
  if (config_.method == Method::deda && pool_.size() != training_.size())
    throw DataError("the pool of parts is not that of the training list");
  std::size_t slots = 0;
  for (std::size_t sample = 0; sample < pool_.size(); ++sample) {
    for (std::size_t label_number = 0; label_number < pool_.labels(sample); ++label_number) {
      first_version_.push_back(slots);
      slots += static_cast<std::size_t>(pool_.versions(sample, label_number)) + 1;
    }
  }
  cdps_ = std::make_unique<BoundedCache<PreparedCdp>>(slots, budget_);
}

std::vector<std::uint32_t> TrainingSource::order(std::uint32_t epoch) const {
  return permutation(static_cast<std::uint32_t>(training_.size()),
                     RandomStream{seed_, Purpose::shuffle, epoch, 0});
}

std::shared_ptr<const io::Image> TrainingSource::natural_picture(std::size_t sample) {
  return naturals_.get(
      sample,
      [&] {
        return canvas_for_training(geometry_,
                                   data::load_picture(dataset_, dataset_.items[training_[sample]]).image);
      },
      bytes_of);
}

std::shared_ptr<const io::Image> TrainingSource::canvas(std::size_t sample) {
  return canvases_.get(
      sample,
      [&] {
        const PartView& cip = pool_.cip(sample);
        io::Image image;
        image.height = cip.height;
        image.width = cip.width;
        image.channels = 3;
        image.pixels.assign(cip.pixels.begin(), cip.pixels.end());
        return canvas_for_training(geometry_, image);
      },
      bytes_of);
}

std::shared_ptr<const PreparedCdp> TrainingSource::prepared(std::size_t sample, int place,
                                                            std::int32_t label) {
  const auto of_label = static_cast<std::size_t>(label);
  return cdps_->get(
      first_version_[pool_.cutout_number(sample, of_label)] + static_cast<std::size_t>(place),
      [&] { return prepare_cdp(pool_.cdp(sample, place, of_label), config_.edge_sigma > 0); },
      [](const PreparedCdp& cdp) { return cdp.bytes(); });
}

std::shared_ptr<const io::Image> TrainingSource::edited_picture(std::size_t number) {
  return edited_.get(
      number,
      [&] {
        const EditView& edit = edits_.edit(number);
        io::Image image;
        image.height = edit.height;
        image.width = edit.width;
        image.channels = 3;
        image.pixels.assign(edit.pixels.begin(), edit.pixels.end());
        return canvas_for_training(geometry_, image);
      },
      bytes_of);
}

void TrainingSource::fill_edited_label(const EditDraws& edit, float* label) const {
  if (edit.source_class == edit.target_class) {  // all labels of the picture that was edited
    data::fill_label(dataset_, dataset_.items[training_[static_cast<std::size_t>(edit.source)]], label);
    return;
  }
  std::fill_n(label, dataset_.class_names.size(), 0.0f);
  label[edit.target_class] = static_cast<float>(edit.target_share);
  label[edit.source_class] = static_cast<float>(1.0 - edit.target_share);
}

void TrainingSource::render_whole(std::int64_t sample, std::uint32_t epoch, std::uint8_t* pixels,
                                  Draws& draws) {
  const auto* const edit = edit_of(draws);
  const auto picture = edit != nullptr ? edited_picture(static_cast<std::size_t>(edit->edit))
                                       : natural_picture(static_cast<std::size_t>(sample));
  const int side = static_cast<int>(config_.crop);
  RandomStream stream{seed_, Purpose::natural_crop, epoch, static_cast<std::uint64_t>(sample)};
  draws.crop_x =
      static_cast<std::int32_t>(stream.below(static_cast<std::uint32_t>(picture->width - side + 1)));
  draws.crop_y =
      static_cast<std::int32_t>(stream.below(static_cast<std::uint32_t>(picture->height - side + 1)));
  draws.flip = stream.chance(config_.flip);
  crop_into(*picture, draws.crop_x, draws.crop_y, side, pixels);
  if (!draws.flip) return;
  for (int y = 0; y < side; ++y)
    best_kernels().mirror(pixels + static_cast<std::size_t>(y) * static_cast<std::size_t>(side) * 3, side);
}

void TrainingSource::render(std::int64_t sample, std::uint32_t epoch, ComposerScratch& scratch,
                            std::uint8_t* pixels, float* label, Draws& draws) {
  render_before_policy(sample, epoch, scratch, pixels, label, draws);
  draws.policy = decide_policy(config_, seed_, epoch, static_cast<std::uint64_t>(sample), side(), side());
  apply_policy(draws.policy, side(), side(), pixels, scratch.operations);
}

void TrainingSource::render_before_policy(std::int64_t sample, std::uint32_t epoch, ComposerScratch& scratch,
                                          std::uint8_t* pixels, float* label, Draws& draws) {
  draws = config_.method == Method::edits
              ? decide_edit(config_.edits(), edits_, seed_, epoch, static_cast<std::uint64_t>(sample))
              : decide(config_, pool_, seed_, epoch, static_cast<std::uint64_t>(sample));
  const auto* const combination = combination_of(draws);
  if (combination == nullptr) {
    render_whole(sample, epoch, pixels, draws);
    if (const auto* const edit = edit_of(draws)) return fill_edited_label(*edit, label);
    data::fill_label(dataset_, dataset_.items[training_[static_cast<std::size_t>(sample)]], label);
    return;
  }
  const auto anchor = static_cast<std::size_t>(combination->anchor),
             donor = static_cast<std::size_t>(combination->cip);
  const auto background = pool_.pastes_on() ? natural_picture(donor) : canvas(donor);
  const auto first = prepared(anchor, combination->place, combination->label);
  const auto second = combination->mix >= 0 ? prepared(static_cast<std::size_t>(combination->mix),
                                                       combination->mix_place, combination->mix_label)
                                            : nullptr;
  std::optional<OwnPlace> place;
  if (config_.placement == Placement::in_place)
    place = own_place(pool_.cdp(anchor, 0, static_cast<std::size_t>(combination->label)),
                      *prepared(anchor, 0, combination->label), config_.resize);
  compose(config_, Choices{seed_, epoch, static_cast<std::uint64_t>(sample)}, *background, *first,
          second.get(), best_kernels(), scratch, draws, pixels, place ? &*place : nullptr);
  fill_combined_label(config_, dataset_, dataset_.items[training_[donor]], *combination, label);
}

TrainingSource::Decided TrainingSource::decide_only(std::int64_t sample, std::uint32_t epoch) {
  // Boxes, areas and label weights come out of composition, so it is composed and thrown away.
  ComposerScratch scratch;
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(config_.crop * config_.crop * 3));
  Decided decided;
  decided.label.resize(static_cast<std::size_t>(classes()));
  render(sample, epoch, scratch, pixels.data(), decided.label.data(), decided.draws);
  return decided;
}

TestSource::TestSource(const data::Dataset& dataset, std::vector<std::size_t> test,
                       const AugmentConfig& config)
    : dataset_{dataset},
      test_{std::move(test)},
      geometry_{geometry_of(config)},
      budget_{std::make_shared<CacheBudget>(config.cache_megabytes * bytes_per_megabyte / test_share)},
      crops_{test_.size(), budget_} {}

void TestSource::render(std::int64_t sample, std::uint8_t* pixels, float* label, Draws& draws) {
  const data::Item& item = dataset_.items[test_[static_cast<std::size_t>(sample)]];
  const auto crop = crops_.get(
      static_cast<std::size_t>(sample),
      [&] { return centre_square(geometry_, data::load_picture(dataset_, item).image); }, bytes_of);
  std::memcpy(pixels, crop->pixels.data(), crop->pixels.size());
  data::fill_label(dataset_, item, label);
  draws = Draws{};
  draws.index = sample;
}

std::vector<std::size_t> readable_pictures(const comm::Communicator& ranks, const data::Dataset& dataset,
                                           const std::vector<std::size_t>& candidates,
                                           std::vector<std::string>& problems) {
  std::string mine;  // "position in candidates \t message \n"
  for (std::size_t i = static_cast<std::size_t>(ranks.rank()); i < candidates.size();
       i += static_cast<std::size_t>(ranks.size())) {
    try {
      data::load_picture(dataset, dataset.items[candidates[i]]);
    } catch (const Error& error) {
      std::string message = error.what();
      std::replace(message.begin(), message.end(), '\n', ' ');
      mine += fmt::format("{}\t{}\n", i, message);
    }
  }
  std::vector<std::pair<std::size_t, std::string>> bad;
  for (const std::string& part : ranks.all_gather(mine)) {
    for (std::size_t begin = 0, end; begin < part.size(); begin = end + 1) {
      end = part.find('\n', begin);
      const std::size_t tab = part.find('\t', begin);
      bad.emplace_back(std::stoull(part.substr(begin, tab - begin)), part.substr(tab + 1, end - tab - 1));
    }
  }
  std::sort(bad.begin(), bad.end());
  std::vector<std::size_t> good;
  std::size_t next = 0;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (next < bad.size() && bad[next].first == i) {
      problems.push_back(bad[next++].second);
      continue;
    }
    good.push_back(candidates[i]);
  }
  return good;
}

}  // namespace deda::augment
