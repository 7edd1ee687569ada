// A few made-up CDPs in a real store, a tiny random model, and settings that learn in milliseconds.
#pragma once

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "core/random.h"
#include "data/dataset.h"
#include "diffusion/inversion/learn_identifiers.h"
#include "io/store/record_store.h"
#include "support/temporary_folder.h"
#include "support/tiny_diffusion_model.h"

namespace deda::test {

// A folder that all ranks share and rank 0 removes.
struct SharedFolder {
  comm::Communicator world = comm::Communicator::world();
  std::unique_ptr<TemporaryFolder> owned;
  std::filesystem::path path;
  SharedFolder() {
    if (world.is_root()) owned = std::make_unique<TemporaryFolder>();
    path = world.broadcast(world.is_root() ? owned->path().string() : "");
  }
  ~SharedFolder() { world.barrier("end of the test"); }
};

// A disc of noisy colour on transparency.
inline io::Record made_up_cdp(std::int64_t item, std::int32_t class_id) {
  constexpr int side = 20;
  RandomStream draws(1, Purpose::test, 1, static_cast<std::uint64_t>(item));
  io::Record record;
  record.info.source_index = item;
  record.info.class_id = class_id;
  record.info.height = record.info.width = side;
  record.info.channels = 4;
  record.info.crop = record.info.box = {0, 0, side, side};
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x) {
      const int dy = 2 * y + 1 - side, dx = 2 * x + 1 - side;
      const bool inside = dx * dx + dy * dy < side * side;
      for (int c = 0; c < 3; ++c) record.pixels.push_back(static_cast<std::uint8_t>(draws.below(256)));
      record.pixels.push_back(inside ? 255 : 0);
      record.info.mask_area += inside ? 1 : 0;
    }
  }
  return record;
}

// Classes of the tiny model's own words with so many CDPs each.
inline data::Dataset made_up_dataset(const std::vector<std::pair<std::string, std::int64_t>>& classes) {
  data::Dataset dataset;
  dataset.name = "made up";
  for (const auto& [name, count] : classes) {
    for (std::int64_t i = 0; i < count; ++i) {
      data::Item item;
      item.path = name + "/" + std::to_string(i) + ".png";
      item.class_id = static_cast<std::int32_t>(dataset.class_names.size());
      dataset.items.push_back(item);
    }
    dataset.class_names.push_back(name);
  }
  return dataset;
}

// Collective.
inline void write_made_up_store(const comm::Communicator& ranks, const data::Dataset& dataset,
                                const std::filesystem::path& folder) {
  io::StoreDescription description;
  description.stage = "decouple";
  description.configuration = "{}";
  description.dataset = dataset.name;
  description.class_names = dataset.class_names;
  std::vector<io::ItemResult> results;
  for (std::size_t i = 0; i < dataset.items.size(); ++i) {
    description.sources.push_back(dataset.items[i].path);
    description.source_classes.push_back(dataset.items[i].class_id);
    if (!ranks.is_root()) continue;
    io::ItemResult result;
    result.item = static_cast<std::int64_t>(i);
    result.records.push_back(made_up_cdp(result.item, dataset.items[i].class_id));
    results.push_back(std::move(result));
  }
  description.items_per_segment = static_cast<std::int64_t>(dataset.items.size());
  io::StoreWriter store(ranks, folder, description);
  store.write_segment(0, std::move(results));
  store.finish();
}

class InversionFixture {
 public:
  // Collective. Store and model lie in `folder`.
  InversionFixture(const comm::Communicator& ranks, const std::filesystem::path& folder,
                   const std::vector<std::pair<std::string, std::int64_t>>& classes,
                   const TinyModelOptions& options = {})
      : folder_{folder}, dataset_{made_up_dataset(classes)} {
    write_made_up_store(ranks, dataset_, folder / "store");
    ranks.agree("writing the model", [&] {
      if (ranks.is_root()) write_tiny_diffusion_model(folder / "model", options);
    });
    models.base = folder / "model";
    settings.class_names = dataset_.class_names;
    settings.resolution = 32;
    settings.offset_gain = 1;
    settings.seed = 5;
    settings.invert.steps = 6;
    settings.invert.batch = 4;
    settings.invert.learning_rate = 1e-2;
    settings.invert.report_every = 2;
    settings.invert.checkpoint_every = 2;
    cdps = std::make_unique<diffusion::CdpSource>(dataset_, io::StoreReader(folder / "store"),
                                                  settings.resolution, 0.1);
    source = std::make_unique<diffusion::CdpLatents>(*cdps, 1.0);
  }

  std::shared_ptr<diffusion::DiffusionModel> load() const {
    return std::make_shared<diffusion::DiffusionModel>(models, at::kCPU);
  }
  diffusion::InversionRequest request(const std::string& folder, int workers = 1) const {
    return {.source = *source,
            .settings = settings,
            .folder = folder_ / folder,
            .made_of = {.stage = "invert", .key = "test"},
            .model_identity = "tiny",
            .workers = workers,
            .load_model = [this] { return load(); },
            .on_step = {}};
  }
  std::filesystem::path operator/(const std::string& name) const { return folder_ / name; }

  diffusion::ModelsConfig models;
  diffusion::InversionSettings settings;
  std::unique_ptr<diffusion::CdpSource> cdps;
  std::unique_ptr<diffusion::CdpLatents> source;

 private:
  std::filesystem::path folder_;
  data::Dataset dataset_;
};

}  // namespace deda::test
