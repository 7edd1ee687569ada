#include "training/samples.h"

#include "augment/pipeline.h"

namespace deda::training {

TrainingSamples training_samples(augment::TrainingSource& source, std::int64_t batch_size,
                                 const comm::Communicator& ranks, std::int64_t composers,
                                 std::int64_t ring_batches, std::pmr::memory_resource* memory) {
  TrainingSamples samples;
  samples.count = source.size();
  samples.classes = source.classes();
  samples.height = samples.width = source.side();
  samples.open = [&source, batch_size, composers, ring_batches, memory, rank = ranks.rank(),
                  size = ranks.size()](std::int64_t epoch, std::int64_t first_step) {
    return augment::open_training(source, static_cast<std::uint32_t>(epoch), batch_size, rank, size,
                                  static_cast<int>(composers), ring_batches, first_step, memory);
  };
  samples.settings = to_json(config_values(source.config()));
  if (source.config().policy != augment::Policy::none) {
    samples.before_policy = [&source](const augment::Draws& sample, std::uint8_t* pixels) {
      augment::ComposerScratch scratch;
      augment::Draws draws;
      std::vector<float> label(static_cast<std::size_t>(source.classes()));
      source.render_before_policy(sample.index, static_cast<std::uint32_t>(sample.epoch), scratch, pixels,
                                  label.data(), draws);
    };
  }
  samples.mixing = source.config().mixing.active();
  if (samples.mixing != nullptr) {
    samples.compose = [&source](std::int64_t sample, std::int64_t sample_epoch, std::uint8_t* pixels,
                                float* label) {
      augment::ComposerScratch scratch;
      augment::Draws draws;
      source.render(sample, static_cast<std::uint32_t>(sample_epoch), scratch, pixels, label, draws);
    };
  }
  return samples;
}

TestSamples test_samples(augment::TestSource& source, const data::Dataset& dataset,
                         const std::vector<std::size_t>& positions, std::int64_t batch_size,
                         const comm::Communicator& ranks, std::int64_t composers, std::int64_t ring_batches,
                         std::pmr::memory_resource* memory) {
  TestSamples tests;
  tests.count = source.size();
  tests.groups = dataset.group_names;
  for (const auto position : positions) tests.group_of.push_back(dataset.items[position].group);
  tests.open = [&source, batch_size, composers, ring_batches, memory, rank = ranks.rank(),
                size = ranks.size()] {
    return augment::open_test(source, batch_size, rank, size, static_cast<int>(composers), ring_batches,
                              memory);
  };
  return tests;
}

}  // namespace deda::training
