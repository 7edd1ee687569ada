// A step of `deda invert` against a step of the plain loop (diffusers' textual_inversion.py), which encodes
// its pictures in every step, encodes one prompt per sample and trains the whole embedding matrix. Both in
// turns on the same draws; the figure is the median of the ratios of neighbours, beside the ratio of
// multiply-accumulates that both were seen to ask for. The target is 90 % of that.
//   bench_inversion [batch 8] [pairs 7] [steps per turn 1]
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>

#include "bench/counted_operations.h"
#include "bench/measure.h"
#include "core/allocator.h"
#include "core/log.h"
#include "diffusion/inversion/inversion_unit.h"
#include "diffusion/inversion/training_noise.h"
#include "diffusion/inversion_fixture.h"
#include "diffusion/sampling/noise.h"
#include "diffusion/transparent/transparent_autoencoder.h"

namespace {

using namespace deda;
using namespace deda::bench;

// UNet, autoencoder and text encoder large enough that the arithmetic counts, with the balance of Stable
// Diffusion 1.5 (encoding costs some 0.7 of the UNet's forward and backward pass).
void write_larger_networks(const std::filesystem::path& folder) {
  auto unet_config = test::tiny_unet_config({});
  unet_config.sample_size = 16;
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

// The plain loop, with everything that the script recomputes in each step.
class PlainLoop {
 public:
  PlainLoop(const diffusion::InversionContext& context, const diffusion::CdpSource& cdps,
            std::size_t class_id)
      : context_{context}, source_{cdps}, class_id_{class_id}, schedule_{context.model.schedule} {
    const auto& text = *context.model.text_encoders[0];
    table_ = at::cat({text.named_parameters()["text_model.embeddings.token_embedding.weight"].detach(),
                      context.initial[class_id].rows[0]})
                 .requires_grad_(true);
    original_ = table_.detach().clone();
    optimizer_ = std::make_unique<torch::optim::AdamW>(
        std::vector<at::Tensor>{table_},
        torch::optim::AdamWOptions(context.config.learning_rate).weight_decay(context.config.weight_decay));
  }
  double step(std::int64_t step) {
    const auto& cdps = source_.by_class()[class_id_];
    std::vector<io::Image> pictures;
    std::vector<at::Tensor> noises, ids;
    std::vector<std::int64_t> timesteps;
    const auto draws = diffusion::draw_samples(context_.draws, class_id_, step, cdps.size());
    for (std::size_t i = 0; i < draws.size(); ++i) {
      auto picture = source_.framed(cdps[draws[i].item]).rgba;
      if (draws[i].mirrored) mirror(picture);
      pictures.push_back(std::move(picture));
      noises.push_back(diffusion::normal_tensor(
          {4, 16, 16},
          diffusion::noise_stream(context_.draws, class_id_, step, static_cast<std::int64_t>(i))));
      ids.push_back(context_.prompt_ids(0, draws[i].prompt)[0]);
      timesteps.push_back(draws[i].timestep);
    }
    const auto latents = diffusion::encode_cdps(context_.model, pictures, 1.0).latents;
    const auto noise = at::stack(noises), time = at::tensor(timesteps);
    // The whole table behind ids shifted past the vocabulary: the lookup of a resized embedding matrix.
    const auto vocabulary = context_.model.text_encoders[0]->config().vocab_size;
    const auto states = context_.model.text_encoders[0]->forward(at::stack(ids) + vocabulary, table_).last;
    const auto predicted =
        context_.model.unet->forward(diffusion::noised(schedule_, latents, noise, time), time, states);
    const auto loss = at::mse_loss(predicted, noise);
    optimizer_->zero_grad();
    loss.backward();
    optimizer_->step();
    torch::NoGradGuard no_gradients;
    table_.slice(0, 0, -1).copy_(original_.slice(0, 0, -1));
    return loss.item<double>();
  }
  at::Tensor row() const { return table_.detach().slice(0, -1); }

 private:
  static void mirror(io::Image& image) {
    for (int y = 0; y < image.height; ++y) {
      auto* pixels = reinterpret_cast<std::uint32_t*>(image.row(y));
      std::reverse(pixels, pixels + image.width);
    }
  }
  const diffusion::InversionContext& context_;
  const diffusion::CdpSource& source_;
  std::size_t class_id_;
  diffusion::NoiseSchedule schedule_;
  at::Tensor table_, original_;
  std::unique_ptr<torch::optim::AdamW> optimizer_;
};

struct Options {
  std::int64_t batch = 8, pairs = 7, steps = 1;
};

void run(const Options& options) {
  at::set_num_threads(1);
  const test::TemporaryFolder folder;
  test::InversionFixture fixture(comm::Communicator::self(), folder.path(), {{"bird", 16}});
  write_larger_networks(folder / "model");
  fixture.settings.resolution = 64;
  fixture.settings.invert.batch = options.batch;
  fixture.settings.invert.steps = 1 << 20;
  fixture.cdps = std::make_unique<diffusion::CdpSource>(test::made_up_dataset({{"bird", 16}}),
                                                        io::StoreReader(folder / "store"),
                                                        fixture.settings.resolution, 0.1);
  fixture.source = std::make_unique<diffusion::CdpLatents>(*fixture.cdps, 1.0);
  const auto model = fixture.load();
  const diffusion::InversionContext context(*model, *fixture.source, fixture.settings);
  diffusion::InversionUnit ours(context, {0}, std::uint64_t{1} << 30);
  PlainLoop plain(context, *fixture.cdps, 0);
  std::int64_t plain_step = 0;
  double worst = 0;
  for (std::int64_t i = 0; i < 16 / options.batch + 1; ++i) {  // every CDP is in the cache after this
    ours.step();
    const double loss = plain.step(plain_step++);
    worst = std::max(worst, std::abs(loss - ours.last_loss()) / loss);
  }
  const double row_difference =
      ((plain.row() - ours.classes()[0].rows()[0]).norm() / plain.row().norm()).item<double>();
  const auto our_operations = operations_in([&] { ours.step(); });
  const auto plain_operations = operations_in([&] { plain.step(plain_step++); });
  const double counted_ratio = static_cast<double>(plain_operations) / static_cast<double>(our_operations);
  std::vector<double> our_times, plain_times, ratios;
  for (std::int64_t pair = 0; pair < options.pairs; ++pair) {
    auto start = Clock::now();
    for (std::int64_t i = 0; i < options.steps; ++i) ours.step();
    our_times.push_back(seconds_since(start) / static_cast<double>(options.steps));
    start = Clock::now();
    for (std::int64_t i = 0; i < options.steps; ++i) plain.step(plain_step++);
    plain_times.push_back(seconds_since(start) / static_cast<double>(options.steps));
    ratios.push_back(plain_times.back() / our_times.back());
  }
  std::string load;
  std::getline(std::ifstream("/proc/loadavg"), load);
  fmt::print(
      "textual inversion, UNet {:.1f} M parameters, 64 x 64 pixels, batch {}, one thread; load {}; memory "
      "copy {:.1f} GB/s\n",
      static_cast<double>(models::parameter_count(*model->unet)) / 1e6, options.batch, load,
      memory_copy_gigabytes_per_second());
  fmt::print("same draws: losses differ by {:.1e}, rows by {:.1e}\n", worst, row_difference);
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
