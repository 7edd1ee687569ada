#include "device/figures/toy_samples.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#include "data/toy.h"
#include "decoupling/decouple.h"
#include "io/store/record_store.h"

namespace deda::figures {

ToySamples::ToySamples(const comm::Communicator& ranks, const std::filesystem::path& folder,
                       std::int64_t side, std::int64_t pictures_per_class) {
  data::ToyConfig toy;
  toy.size = side + side / 4;
  toy.train_per_class = pictures_per_class;
  toy.test_per_class = 1;
  const auto threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  data::make_toy_dataset(ranks, toy, folder / "toy", threads);
  data::DatasetConfig dataset_config;
  dataset_config.root = folder / "toy";
  dataset_ = data::load_dataset(dataset_config);
  const decoupling::DecoupleConfig decouple_config;
  decoupling::decouple(ranks, {.dataset = dataset_,
                               .config = decouple_config,
                               .folder = folder / "store",
                               .threads = threads,
                               .trace = {},
                               .trace_steps = 0});
  augment::AugmentConfig augment_config;
  augment_config.crop = side;
  augment_config.resize_shorter = side + side / 7;
  augment_config.p_aug = 1.0;  // every sample is composed: the dearest case
  ring_batches_ = augment_config.ring_batches;
  const auto training = dataset_.indices(data::Split::train);
  source_ = std::make_unique<augment::TrainingSource>(
      dataset_, training, augment::PartPool(dataset_, training, {io::StoreReader(folder / "store")}, {}),
      augment_config, 1);
}

std::unique_ptr<augment::BatchStream> ToySamples::open(std::int64_t batch, int workers,
                                                       std::pmr::memory_resource* memory) const {
  constexpr std::size_t batches_without_end = 20000;
  augment::Plan plan;
  std::vector<std::int64_t> samples;
  for (std::uint32_t epoch = 1; plan.size() < batches_without_end; ++epoch) {
    for (const auto sample : source_->order(epoch)) {
      samples.push_back(sample);
      if (static_cast<std::int64_t>(samples.size()) == batch) plan.push_back(std::exchange(samples, {}));
    }
  }
  auto scratch = std::make_shared<std::vector<augment::ComposerScratch>>(static_cast<std::size_t>(workers));
  auto drawn = std::make_shared<std::atomic<std::uint32_t>>(0);  // other decisions every time
  return std::make_unique<augment::ComposedStream>(
      std::move(plan), augment::ComposedStream::Shape{source_->side(), source_->classes()}, workers,
      ring_batches_,
      [source = source_.get(), scratch, drawn](int worker, std::int64_t sample, std::uint8_t* pixels,
                                               float* label, augment::Draws& draws) {
        source->render(sample, ++*drawn, (*scratch)[static_cast<std::size_t>(worker)], pixels, label, draws);
      },
      memory);
}

}  // namespace deda::figures
