// Made-up pictures of some classes, and settings that tune the tiny model in milliseconds.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/random.h"
#include "diffusion/inversion_fixture.h"
#include "diffusion/tuning/tune.h"

namespace deda::test {

// Noisy colour, each picture of its own; wider than high but for every third.
class MadeUpPictures : public diffusion::PictureSource {
 public:
  explicit MadeUpPictures(std::vector<std::size_t> classes) : classes_{std::move(classes)} {}
  std::size_t size() const override { return classes_.size(); }
  std::size_t class_of(std::size_t picture) const override { return classes_.at(picture); }
  std::string name_of(std::size_t picture) const override {
    return "picture " + std::to_string(picture) + ".png";
  }
  io::Image picture(std::size_t picture) const override {
    if (picture == broken) throw DataError("cannot be decoded", name_of(picture));
    constexpr int side = 36;
    io::Image image(side, picture % 3 == 2 ? side : side + 9, 3);
    RandomStream draws(3, Purpose::test, 0, picture);
    for (auto& byte : image.pixels) byte = static_cast<std::uint8_t>(draws.below(256));
    return image;
  }
  std::size_t broken = static_cast<std::size_t>(-1);  // this one cannot be read

 private:
  std::vector<std::size_t> classes_;
};

class TuningFixture {
 public:
  // Collective. The model lies in `folder`.
  TuningFixture(const comm::Communicator& ranks, const std::filesystem::path& folder,
                const TinyModelOptions& options = {})
      : pictures({0, 2, 1, 0, 0, 2, 1}), folder_{folder} {
    ranks.agree("writing the model", [&] {
      if (ranks.is_root()) write_tiny_diffusion_model(folder / "model", options);
    });
    models.base = folder / "model";
    settings.class_names = {"bird", "car", "cat", "dog"};  // no picture shows a dog
    settings.super_class = "cat";
    settings.seed = 5;
    auto& tune = settings.tune;
    tune.rank = 3;
    tune.steps = 6;
    tune.batch = 6;
    tune.micro_batch = 2;
    tune.learning_rate = tune.token_learning_rate = 1e-2;
    tune.init_word = "dog";
    tune.resolution = 32;
    tune.report_every = 2;
    tune.checkpoint_every = 2;
  }

  std::shared_ptr<diffusion::DiffusionModel> load() const {
    return std::make_shared<diffusion::DiffusionModel>(models, at::kCPU, diffusion::UNetWeights::plain,
                                                       diffusion::LatentCodec::plain);
  }
  diffusion::TuneRequest request(const std::string& folder) const {
    return {.pictures = pictures,
            .settings = settings,
            .folder = folder_ / folder,
            .made_of = {.stage = "tune", .key = "test"},
            .model_identity = "tiny",
            .workers = 1,
            .load_model = [this] { return load(); }};
  }
  std::filesystem::path operator/(const std::string& name) const { return folder_ / name; }

  diffusion::ModelsConfig models;
  diffusion::TuneSettings settings;
  MadeUpPictures pictures;

 private:
  std::filesystem::path folder_;
};

}  // namespace deda::test
