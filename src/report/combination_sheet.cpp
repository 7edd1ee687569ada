#include "report/combination_sheet.h"

#include "augment/sample_source.h"

namespace deda::report {

std::vector<std::vector<io::Image>> compose_samples(const io::StoreReader& store,
                                                    augment::AugmentConfig config,
                                                    const std::vector<std::int64_t>& items,
                                                    std::size_t per_item, std::uint64_t seed) {
  data::Dataset dataset;  // as far as the store knows it: no pictures are opened
  const io::StoreDescription& description = store.description();
  dataset.name = description.dataset;
  dataset.class_names = description.class_names;
  std::vector<std::size_t> training;
  for (std::size_t i = 0; i < description.sources.size(); ++i) {
    data::Item item;
    item.path = description.sources[i];
    item.class_id = description.source_classes[i];
    dataset.items.push_back(std::move(item));
    training.push_back(i);
  }
  config.method = augment::Method::deda;
  config.p_aug = 1.0;
  config.p_syn = 0.0;
  config.anchor = augment::AnchorChoice::sample;
  config.real_cdps = augment::RealCdps::pasted;
  augment::PartPool pool(dataset, training, {store}, {config.min_mask_share, config.max_mask_share});
  std::vector<std::vector<io::Image>> samples(items.size());
  if (pool.donors().order.empty()) return samples;
  std::vector<bool> usable;
  for (const std::int64_t item : items) {
    const auto number = static_cast<std::size_t>(item);
    usable.push_back(pool.usable(number) &&
                     (config.placement == augment::Placement::random || pool.knows_place(number)));
  }
  augment::TrainingSource source(dataset, training, std::move(pool), config, seed);
  augment::ComposerScratch scratch;
  std::vector<float> label(dataset.class_names.size());
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (!usable[i]) continue;  // training would take the natural picture
    for (std::size_t k = 0; k < per_item; ++k) {
      io::Image sample(source.side(), source.side(), 3);
      augment::Draws draws;
      // Another epoch is another combination of the same picture. The first ones, as in training.
      source.render(items[i], static_cast<std::uint32_t>(k), scratch, sample.pixels.data(), label.data(),
                    draws);
      samples[i].push_back(std::move(sample));
    }
  }
  return samples;
}

}  // namespace deda::report
