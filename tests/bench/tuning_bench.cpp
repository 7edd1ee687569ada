// A step of `deda tune` against a step of the plain loop (Diff-Mix's train_lora.py), which decodes and
// encodes its pictures in every step, encodes one caption per picture and trains the whole token table. Both
// in turns on the same draws; the figure is the median of the ratios of neighbours, beside the ratio of
// multiply-accumulates that both were seen to ask for. The target is 90 % of that.
//   bench_tuning [batch 8] [pairs 7] [steps per turn 1]
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "bench/counted_operations.h"
#include "bench/measure.h"
#include "core/allocator.h"
#include "core/log.h"
#include "diffusion/inversion/training_noise.h"
#include "diffusion/prompts.h"
#include "diffusion/sampling/noise.h"
#include "diffusion/tuning_fixture.h"
#include "diffusion/whole/picture_autoencoder.h"

namespace {

using namespace deda;
using namespace deda::bench;

constexpr std::int64_t pixels = 64, latent_side = 16, pictures = 16;

// Large enough that the arithmetic counts, with the balance of Stable Diffusion 1.5 (encoding costs some 0.7
// of the UNet's forward and backward pass).
void write_larger_networks(const std::filesystem::path& folder) {
  auto unet_config = test::tiny_unet_config({});
  unet_config.sample_size = latent_side;
  unet_config.block_out_channels = {96, 128};
  unet_config.layers_per_block = 2;
  unet_config.heads = {4, 4};
  models::UNet unet(unet_config);
  test::write_tiny_network(folder / "unet" / "diffusion_pytorch_model.safetensors", unet, 1);
  write_atomically(folder / "unet" / "config.json", models::to_json(unet_config));
  models::AutoencoderConfig autoencoder_config{
      .block_out_channels = {32, 64, 64}, .layers_per_block = 2, .norm_groups = 8};
  models::Autoencoder autoencoder(autoencoder_config);
  test::write_tiny_network(folder / "vae" / "diffusion_pytorch_model.safetensors", autoencoder, 2);
  write_atomically(folder / "vae" / "config.json", models::to_json(autoencoder_config));
}

// Everything that the script does in each step, with a LoRA and a token table of its own on its own UNet.
class PlainLoop {
 public:
  PlainLoop(const diffusion::DiffusionModel& model, const diffusion::PictureSource& source,
            const diffusion::TuneSettings& settings)
      : model_{model},
        source_{source},
        settings_{settings},
        schedule_{model.schedule},
        lora_{*model.unet, {.rank = settings.tune.rank, .seed = settings.seed}},
        draws_{{.seed = settings.seed,
                .batch = settings.tune.batch,
                .pictures = static_cast<std::int64_t>(source.size())}} {
    const auto& text = *model.text_encoders[0];
    const auto classes = static_cast<std::int64_t>(settings.class_names.size());
    const auto word = text.token_row(model.tokenizers[0].tokens(settings.tune.init_word).at(0));
    table_ = at::cat({text.named_parameters()["text_model.embeddings.token_embedding.weight"].detach(),
                      word.unsqueeze(0).repeat({classes, 1})})
                 .requires_grad_(true);
    original_ = table_.detach().clone();
    std::vector<models::ClipTokenizer> tokenizers(model.tokenizers.begin(), model.tokenizers.end());
    std::vector<std::string> captions;
    for (std::size_t id = 0; id < settings.class_names.size(); ++id) {
      tokenizers[0].add_token(diffusion::placeholder_of_class(id));
      captions.push_back(
          diffusion::tuning_caption(diffusion::placeholder_of_class(id), settings.super_class));
    }
    captions_ = model.ids_of(tokenizers, captions)[0];
    const auto group = [&](std::vector<at::Tensor> parameters, double rate) {
      return torch::optim::OptimizerParamGroup(
          std::move(parameters),
          std::make_unique<torch::optim::AdamWOptions>(
              torch::optim::AdamWOptions(rate).weight_decay(settings.tune.weight_decay)));
    };
    optimizer_ = std::make_unique<torch::optim::AdamW>(
        std::vector<torch::optim::OptimizerParamGroup>{group(lora_.parameters(), settings.tune.learning_rate),
                                                       group({table_}, settings.tune.token_learning_rate)});
  }
  double step(std::int64_t step) {
    const auto& tune = settings_.tune;
    const diffusion::SquareRules rules{.resolution = tune.resolution, .crop = tune.crop};
    std::vector<io::Image> squares;
    std::vector<at::Tensor> posterior_noises, noises;
    std::vector<std::int64_t> timesteps, classes;
    const auto draws = draws_.of_step(step);
    for (std::size_t i = 0; i < draws.size(); ++i) {
      const auto position = static_cast<std::int64_t>(i);
      const std::vector<std::int64_t> shape{4, latent_side, latent_side};
      squares.push_back(diffusion::tuning_square(rules, source_.picture(draws[i].picture), draws[i].place,
                                                 draws[i].mirrored));
      posterior_noises.push_back(diffusion::normal_tensor(shape, draws_.posterior_noise(step, position)));
      noises.push_back(diffusion::normal_tensor(shape, draws_.noise(step, position)));
      timesteps.push_back(draws[i].timestep);
      classes.push_back(static_cast<std::int64_t>(source_.class_of(draws[i].picture)));
    }
    const auto encoded = diffusion::encode_pictures(model_, squares, tune.batch);
    const auto latents = (encoded.mean + encoded.deviation * at::stack(posterior_noises)) *
                         model_.autoencoder->config().scaling_factor;
    const auto noise = at::stack(noises), time = at::tensor(timesteps);
    // The whole table behind ids shifted past the vocabulary: the lookup of a resized embedding matrix.
    const auto vocabulary = model_.text_encoders[0]->config().vocab_size;
    const auto ids = captions_.index_select(0, at::tensor(classes));
    const auto states = model_.text_encoders[0]->forward(ids + vocabulary, table_).last;
    const auto predicted =
        model_.unet->forward(diffusion::noised(schedule_, latents, noise, time), time, states);
    const auto loss = at::mse_loss(predicted, noise);
    optimizer_->zero_grad();
    loss.backward();
    torch::nn::utils::clip_grad_norm_(lora_.parameters(), tune.max_grad_norm);
    optimizer_->step();
    torch::NoGradGuard no_gradients;
    const auto words = static_cast<std::int64_t>(settings_.class_names.size());
    table_.slice(0, 0, -words).copy_(original_.slice(0, 0, -words));
    return loss.item<double>();
  }
  const at::Tensor& lora_values() const { return lora_.values(); }

 private:
  const diffusion::DiffusionModel& model_;
  const diffusion::PictureSource& source_;
  const diffusion::TuneSettings settings_;
  diffusion::NoiseSchedule schedule_;
  models::LoraLayers lora_;
  diffusion::TuningDraws draws_;
  at::Tensor table_, original_, captions_;
  std::unique_ptr<torch::optim::AdamW> optimizer_;
};

struct Options {
  std::int64_t batch = 8, pairs = 7, steps = 1;
};

void run(const Options& options) {
  at::set_num_threads(1);
  const test::TemporaryFolder folder;
  test::TuningFixture fixture(comm::Communicator::self(), folder.path());
  write_larger_networks(folder / "model");
  std::vector<std::size_t> classes;
  for (std::size_t i = 0; i < pictures; ++i) classes.push_back(i % 4);
  const test::MadeUpPictures source(classes);
  auto& tune = fixture.settings.tune;
  tune.rank = 10;
  tune.batch = tune.micro_batch = options.batch;
  tune.steps = 1 << 20;
  tune.learning_rate = tune.token_learning_rate = 1e-4;
  tune.resolution = pixels;
  tune.crop = diffusion::TuneCrop::center;  // every picture has two latents, which all fit
  const auto our_model = fixture.load(), plain_model = fixture.load();
  diffusion::Tuner ours(*our_model, source, fixture.settings);
  PlainLoop plain(*plain_model, source, fixture.settings);
  std::int64_t plain_step = 0;
  double worst = 0;
  // Every picture is kept both ways after this.
  while (ours.latents().kept() < 2 * pictures) {
    ours.take_step();
    const double loss = plain.step(plain_step++);
    worst = std::max(worst, std::abs(loss - ours.last_loss()) / loss);
  }
  const double difference =
      ((plain.lora_values() - ours.lora().values()).norm() / plain.lora_values().norm()).item<double>();
  const auto our_operations = operations_in([&] { ours.take_step(); });
  const auto plain_operations = operations_in([&] { plain.step(plain_step++); });
  const double counted_ratio = static_cast<double>(plain_operations) / static_cast<double>(our_operations);
  std::vector<double> our_times, plain_times, ratios;
  for (std::int64_t pair = 0; pair < options.pairs; ++pair) {
    auto start = Clock::now();
    for (std::int64_t i = 0; i < options.steps; ++i) ours.take_step();
    our_times.push_back(seconds_since(start) / static_cast<double>(options.steps));
    start = Clock::now();
    for (std::int64_t i = 0; i < options.steps; ++i) plain.step(plain_step++);
    plain_times.push_back(seconds_since(start) / static_cast<double>(options.steps));
    ratios.push_back(plain_times.back() / our_times.back());
  }
  std::string load;
  std::getline(std::ifstream("/proc/loadavg"), load);
  fmt::print(
      "tuning, UNet {:.1f} M parameters, LoRA of rank {} ({:.2f} M), {} x {} pixels, batch {}, one thread; "
      "load "
      "{}; memory copy {:.1f} GB/s\n",
      static_cast<double>(models::parameter_count(*our_model->unet)) / 1e6, tune.rank,
      static_cast<double>(ours.lora().values().numel()) / 1e6, pixels, pixels, options.batch, load,
      memory_copy_gigabytes_per_second());
  fmt::print("same draws over {} steps: losses differ by {:.1e}, LoRA by {:.1e}\n", plain_step, worst,
             difference);
  const auto line = [&](const char* name, const std::vector<double>& times, std::int64_t operations) {
    fmt::print("{:<12} best {:7.3f} s a step, median {:7.3f}; {:6.2f} G multiply-accumulates\n", name,
               *std::min_element(times.begin(), times.end()), median(times),
               static_cast<double>(operations) / 1e9);
  };
  line("plain loop", plain_times, plain_operations);
  line("deda", our_times, our_operations);
  fmt::print(
      "plain / deda: median of {} pairs {:.3f}, of the best {:.3f}; counted {:.3f}; reached {:.0f} %\n",
      ratios.size(), median(ratios),
      *std::min_element(plain_times.begin(), plain_times.end()) /
          *std::min_element(our_times.begin(), our_times.end()),
      counted_ratio, 100 * median(ratios) / counted_ratio);
}

}  // namespace

int main(int argc, char** argv) {
  deda::keep_freed_memory();
  comm::MpiEnvironment mpi(argc, argv);
  set_up_log(0, 1, LogLevel::warning);
  Options options;
  std::int64_t* const values[] = {&options.batch, &options.pairs, &options.steps};
  for (int i = 1; i < std::min(argc, 1 + static_cast<int>(std::size(values))); ++i)
    *values[i - 1] = std::max(1L, std::atol(argv[i]));
  try {
    run(options);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
  return 0;
}
