// The parts of `device_figures diffusion`: each prints the figures of one thing.
#pragma once

#include <memory>
#include <string>

#include "device/figures/rates.h"
#include "device/figures/workbench.h"
#include "diffusion/model.h"

namespace deda::figures {

// What all parts have in common. The model is measured in several types and orders: whoever changes it says
// so, and changes it back.
struct DiffusionBench {
  const Workbench& bench;
  std::shared_ptr<diffusion::DiffusionModel> model;
  Rates rates;
  bool tf32 = false;  // float32 products may be rounded to it: set by use_tf32()
  // Of autoencoder and transparent networks.
  const char* autoencoder_type() const;
  std::int64_t resolution() const { return model->default_resolution(); }
  std::int64_t latent_side() const { return model->unet->config().sample_size; }
};

const char* name_of(at::ScalarType type);  // "bf16", "fp16", "fp32"
void set_unet_type(diffusion::DiffusionModel& model, at::ScalarType type);
// Autoencoder and transparent networks.
void set_autoencoder_type(diffusion::DiffusionModel& model, at::ScalarType type);
// For what is in float32: text encoder, autoencoder, transparent networks.
void use_tf32(DiffusionBench& parts, bool on);
bool is_channels_last(const torch::nn::Module& network);
void use_order(torch::nn::Module& network, bool channels_last);

// A step of the UNet as SDEdit takes it, `rows` at once; `variant` is put behind the name ("", ".graph").
void print_unet_step(const DiffusionBench& parts, std::int64_t rows, const std::string& variant = {});
// The same, recorded once as a graph of kernels: what is left when launching costs nothing. Only on a GPU.
void print_unet_graph(const DiffusionBench& parts, std::int64_t rows);
// LayerDiffuse's branches behind every attention, with random weights; they stay.
void add_transparency_branches(const DiffusionBench& parts);

// SDEdit with the paper's settings, on `cdps` CDPs of several classes.
void print_latent_edit(const DiffusionBench& parts, std::int64_t cdps, const std::string& variant = {});
void print_edit(const DiffusionBench& parts, std::int64_t cdps, int threads, const std::string& variant = {});

// A step of TTTI with the paper's batch.
void print_inversion(const DiffusionBench& parts, std::int64_t batch, const std::string& variant = {});
// Whether the same step gives the same gradient twice, byte by byte; what LibTorch refuses becomes the text.
void print_gradients_twice(const DiffusionBench& parts, std::int64_t batch, const std::string& variant);

void print_encoding(const DiffusionBench& parts, std::int64_t pictures, const std::string& variant = {});
void print_decoding(const DiffusionBench& parts, std::int64_t pictures, const std::string& variant = {});
void print_transparent_decoding(const DiffusionBench& parts, std::int64_t pictures,
                                const std::string& variant = {});

// Attention at the UNet's shapes: head widths as they are against padded ones, and every kernel there is.
// First the shape that takes most of the UNet's time, then the others.
void print_finest_attention(const Workbench& bench);
void print_other_attention(const Workbench& bench);

}  // namespace deda::figures
