// The program's networks run on the device, give what they give on the CPU, can be recorded, and do not wait.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <vector>

#include "models/classifiers/initialise.h"
#include "models/diffusion/autoencoder.h"
#include "models/diffusion/unet.h"
#include "models/registry.h"
#include "models/text/clip_text.h"
#include "pretended_device/pretended_device.h"

namespace deda::pretended {
namespace {

at::Tensor numbers(at::IntArrayRef sizes) {
  return at::sin(at::arange(c10::multiply_integers(sizes), at::kFloat) * 0.7).reshape(sizes);
}

void expect_close(const at::Tensor& on_device, const at::Tensor& on_host) {
  ASSERT_EQ(on_device.device(), device);
  EXPECT_TRUE(at::allclose(on_device.detach().cpu(), on_host.detach(), 1e-3, 1e-4));
}

TEST(Networks, AClassifierLearns) {
  const auto on_host = models::make_classifier("resnet18", 5),
             on_device = models::make_classifier("resnet18", 5);
  models::initialise(*on_host, 1);
  models::initialise(*on_device, 1);
  on_device->to(device);
  const auto pictures = numbers({2, 3, 32, 32});
  for (const auto format : {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
    const auto expected = on_host->forward(pictures.contiguous(format));
    expected.square().mean().backward();
    const auto out = on_device->forward(pictures.to(device).contiguous(format));
    out.square().mean().backward();
    expect_close(out, expected);
  }
  const auto parameters = on_device->parameters(), expected = on_host->parameters();
  for (std::size_t i = 0; i < parameters.size(); ++i) expect_close(parameters[i].grad(), expected[i].grad());
}

struct Diffusion {
  Diffusion() {
    models::UNetConfig config;
    config.sample_size = 8;
    config.block_out_channels = {16, 32};
    config.layers_per_block = 1;
    config.norm_groups = 8;
    config.heads = {2, 4};
    config.depth = {1, 1};
    config.down_attention = {true, false};
    config.up_attention = {false, true};
    config.cross_attention_dim = 16;
    unet = std::make_shared<models::UNet>(config);
    text = std::make_shared<models::ClipText>(models::ClipTextConfig{.vocab_size = 20,
                                                                     .hidden_size = 16,
                                                                     .layers = 2,
                                                                     .heads = 2,
                                                                     .intermediate_size = 32,
                                                                     .eos_token_id = 19});
    autoencoder = std::make_shared<models::Autoencoder>(
        models::AutoencoderConfig{.block_out_channels = {8, 8, 16}, .layers_per_block = 1, .norm_groups = 4});
    for (torch::nn::Module* network : networks()) models::initialise_diffusion(*network, 1);
  }
  std::vector<torch::nn::Module*> networks() const { return {unet.get(), text.get(), autoencoder.get()}; }
  std::shared_ptr<models::UNet> unet;
  std::shared_ptr<models::ClipText> text;
  std::shared_ptr<models::Autoencoder> autoencoder;
};

TEST(Networks, DiffusionNetworksRunAndLearn) {
  const Diffusion on_host, on_device;
  for (torch::nn::Module* network : on_device.networks()) network->to(device);
  const auto pictures = numbers({1, 3, 32, 32}), ids = at::tensor({3, 7, 20, 19}, at::kLong).view({1, 4});
  auto added = numbers({1, 16}).requires_grad_();
  auto added_there = added.detach().to(device).requires_grad_();
  const auto run = [](const Diffusion& networks, const at::Tensor& from, const at::Tensor& words,
                      const at::Tensor& row) {
    const auto latents = networks.autoencoder->encode(from).mean;
    const auto states = networks.text->forward(words, row);
    const auto noise = networks.unet->forward(latents, at::full({1}, 500, words.options()), states.last);
    return networks.autoencoder->decode(noise);
  };
  const auto expected = run(on_host, pictures, ids, added);
  const auto out = run(on_device, pictures.to(device), ids.to(device), added_there);
  expect_close(out, expected);
  expected.square().mean().backward();
  out.square().mean().backward();
  expect_close(added_there.grad(), added.grad());
}

TEST(Networks, ADenoisingStepIsRecordedWithoutWaiting) {
  const at::NoGradGuard no_gradients;
  const Diffusion networks;
  for (torch::nn::Module* network : networks.networks()) network->to(device);
  auto latents = numbers({1, 4, 8, 8}).to(device);
  const auto time = at::full({1}, 500, at::TensorOptions(at::kLong).device(device));
  const auto words = numbers({1, 4, 16}).to(device);
  at::Tensor noise;
  reset_counters();
  plugin().forbid_waiting(true);
  const auto recorded = plugin().capture([&] { noise = networks.unet->forward(latents, time, words); }, 1);
  plugin().forbid_waiting(false);
  EXPECT_EQ(counters().waits, 0);
  latents.mul_(-0.5);
  recorded->replay();
  const auto replayed = noise.clone();
  EXPECT_TRUE(at::equal(replayed, networks.unet->forward(latents, time, words)));
}

}  // namespace
}  // namespace deda::pretended
