#include "augment/mixed_batches.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace deda::augment {
namespace {

using mixing::Partners;

// Adds places that are not there yet, in order.
void add_missing(std::vector<std::uint32_t>& places, std::span<const std::uint32_t> more) {
  for (const auto place : more) {
    if (std::find(places.begin(), places.end(), place) == places.end()) places.push_back(place);
  }
}

std::size_t row_of(const std::vector<std::uint32_t>& places, std::uint32_t place) {
  const auto found = std::find(places.begin(), places.end(), place);
  if (found == places.end()) throw std::logic_error("a picture that is mixed was not composed");
  return static_cast<std::size_t>(found - places.begin());
}

mixing::Pixels picture_of(const Batch& batch, std::size_t row) {
  const auto pixels = static_cast<std::size_t>(batch.height) * static_cast<std::size_t>(batch.width) * 3;
  return {batch.pixels.data() + row * pixels, pixels};
}

}  // namespace

MixedBatches::MixedBatches(const mixing::Settings& settings, const GlobalBatches& batches, int rank,
                           int ranks, std::int64_t side, int workers)
    : settings_{settings}, global_{batches}, side_{side} {
  const auto& method = settings_.method();
  const auto count = static_cast<std::int64_t>(batches.order.size());
  for (std::int64_t first = batches.first * batches.size; first < count; first += batches.size) {
    Mixed batch;
    batch.first = first;
    batch.global_size = std::min(batches.size, count - first);
    for (std::int64_t place = rank; place < batch.global_size; place += ranks)
      batch.places.push_back(static_cast<std::uint32_t>(place));
    batch.size = static_cast<std::int64_t>(batch.places.size());
    if (const auto plan = plan_of(batch); plan.applied) {
      if (method.facts().partners == Partners::found) {
        for (std::int64_t place = 0; place < batch.global_size; ++place)
          if (place % ranks != rank) batch.places.push_back(static_cast<std::uint32_t>(place));
      } else if (batch.size > 0) {  // a rank without a share mixes nothing and looks at nothing
        std::vector<std::uint32_t> partners;
        for (const auto place : batch.places) partners.push_back(plan.partner[place]);
        add_missing(batch.places, partners);
        add_missing(batch.places, method.looked_at(plan));
      }
    }
    batches_.push_back(std::move(batch));
  }
  for (int worker = 0; worker < std::max(1, workers); ++worker) scratch_.push_back(method.make_scratch());
}

mixing::BatchPlan MixedBatches::plan_of(const Mixed& batch) const {
  const auto step = static_cast<std::uint64_t>(batch.first / global_.size);
  return settings_.method().plan(settings_, {global_.seed, global_.epoch, step}, batch.global_size, side_);
}

Plan MixedBatches::samples_to_compose() const {
  Plan plan;
  for (const auto& batch : batches_) {
    plan.emplace_back();
    for (const auto place : batch.places)
      plan.back().push_back(global_.order[static_cast<std::size_t>(batch.first + place)]);
  }
  return plan;
}

void MixedBatches::mix(int worker, std::size_t number, const Batch& composed, Batch& handed_out) const {
  const auto& batch = batches_[number];
  const bool pixels = settings_.method().mixes_pixels();
  const auto rows = pixels ? batch.size : composed.size;
  handed_out.size = batch.size;
  handed_out.sources = rows - batch.size;
  handed_out.height = composed.height;
  handed_out.width = composed.width;
  handed_out.classes = composed.classes;
  const auto picture = picture_of(composed, 0).size();
  const auto classes = static_cast<std::size_t>(composed.classes);
  handed_out.pixels.resize(static_cast<std::size_t>(rows) * picture);
  handed_out.labels.resize(static_cast<std::size_t>(rows) * classes);
  handed_out.draws.assign(composed.draws.begin(), composed.draws.begin() + rows);
  auto& mix = handed_out.mix.emplace();
  mix.plan = plan_of(batch);
  mix.places = batch.places;
  for (std::int64_t place = 0; place < batch.global_size; ++place)
    mix.samples.push_back(global_.order[static_cast<std::size_t>(batch.first + place)]);
  if (pixels && mix.plan.applied) {
    mix_pixels(worker, composed, handed_out);
    return;
  }
  std::memcpy(handed_out.pixels.data(), composed.pixels.data(), handed_out.pixels.size());
  std::copy_n(composed.labels.begin(), handed_out.labels.size(), handed_out.labels.begin());
}

void MixedBatches::mix_pixels(int worker, const Batch& composed, Batch& handed_out) const {
  const auto& method = settings_.method();
  auto& mix = *handed_out.mix;
  std::vector<mixing::Pixels> looked_at;
  for (const auto place : method.looked_at(mix.plan))
    looked_at.push_back(picture_of(composed, row_of(mix.places, place)));
  method.look(settings_, looked_at, side_, mix.plan, scratch_[static_cast<std::size_t>(worker)].get());
  const auto classes = static_cast<std::size_t>(composed.classes);
  for (std::size_t row = 0; row < static_cast<std::size_t>(handed_out.size); ++row) {
    const auto partner = row_of(mix.places, mix.plan.partner[mix.places[row]]);
    const auto own = picture_of(composed, row);
    const std::span mixed{handed_out.pixels.data() + row * own.size(), own.size()};
    mix.weights.push_back(method.mix(settings_, mix.plan, side_, own, picture_of(composed, partner), mixed));
    mixing::mix_labels(mix.weights.back(), composed.labels.data() + row * classes,
                       composed.labels.data() + partner * classes, classes,
                       handed_out.labels.data() + row * classes);
  }
  mix.places.resize(static_cast<std::size_t>(handed_out.size));
}

}  // namespace deda::augment
