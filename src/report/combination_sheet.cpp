#include "report/combination_sheet.h"

#include "augment/sample_source.h"

namespace deda::report {

std::vector<io::Image> compose_samples(const io::StoreReader& store, augment::AugmentConfig config,
                                       std::size_t count, std::uint64_t seed) {
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
  augment::PartPool pool(dataset, training, {store}, {config.min_mask_share, config.max_mask_share});
  const std::vector<std::uint32_t> anchors = pool.anchors().order;
  std::vector<io::Image> samples;
  if (anchors.empty() || pool.donors().order.empty()) return samples;
  augment::TrainingSource source(dataset, training, std::move(pool), config, seed);
  augment::ComposerScratch scratch;
  std::vector<float> label(dataset.class_names.size());
  for (std::size_t i = 0; i < count; ++i) {
    io::Image sample(source.side(), source.side(), 3);
    augment::Draws draws;
    const std::size_t anchor = anchors[(i * anchors.size() / count) % anchors.size()];
    source.render(static_cast<std::int64_t>(anchor), static_cast<std::uint32_t>(1 + i), scratch,
                  sample.pixels.data(), label.data(), draws);
    samples.push_back(std::move(sample));
  }
  return samples;
}

}  // namespace deda::report
