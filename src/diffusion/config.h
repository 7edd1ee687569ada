// Sections [models], [diffusion], [invert], [generate] and [pretrain]. Header only, so that a build without
// Torch still reads and checks whole configurations. Defaults are the paper's (table 6, section 3.2) where it
// says, else the decisions that its reading leaves open, each named.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/config.h"
#include "core/device_choice.h"
#include "generative/settings.h"

namespace deda::diffusion {

enum class Precision : std::uint8_t { automatic, fp32, tf32, bf16, fp16 };
enum class Sampler : std::uint8_t {
  dpmpp2m_linspace,
  dpmpp2m_leading,
  ddim_leading,
  euler_leading,
  euler_ancestral_leading,
  euler_ancestral_linspace,
  pndm_faithful,
  karras25_cli
};
enum class OffsetGain : std::uint8_t { automatic, g0, g1, g300 };
enum class DecoderLatent : std::uint8_t { automatic, unscaled, scaled };
enum class DecoderPixel : std::uint8_t { clipped, raw, eight_bit };
enum class IdentifierChoice : std::uint8_t { learned, class_name };
enum class InvertUNet : std::uint8_t { merged, plain };
enum class InvertLatent : std::uint8_t { transparent, rgb_on_grey, picture };
enum class InvertTemplates : std::uint8_t { objects, photo };
enum class NanPolicy : std::uint8_t { retry_lower_rate, skip_class, fail };

// Which files make up the diffusion model.
struct ModelsConfig {
  std::filesystem::path base = "configs/models/toy";
  std::filesystem::path layer_diffuse, transparent_encoder, transparent_decoder, calibration, instruct, clip;
  std::vector<std::string> lora;
  DeviceChoice device = DeviceChoice::automatic;
  bool captured_graphs = false, channels_last = true, pad_attention_heads = false;
  Precision precision = Precision::automatic, vae_precision = Precision::automatic;
  void describe(ConfigVisitor& v) {
    // Files count by content, not by path: model_identity() is part of the keys of invert and generate.
    v.field({.key = "base", .help = "diffusers folder of Stable Diffusion 1.5 or SDXL (or of the toy model)"},
            base);
    v.field(
        {.key = "layer_diffuse",
         .help =
             "LayerDiffuse's attention weights (layer_sd15_transparent_attn.safetensors, ...); empty: the "
             "UNet knows transparency already (toy model)"},
        layer_diffuse);
    v.field({.key = "lora",
             .help = "LoRA files (diffusers', Kohya's) merged into UNet and text encoders, each as "
                     "\"file=scale\" or \"file\""},
            lora);
    v.field({.key = "transparent_encoder",
             .help = "LayerDiffuse's transparent encoder; empty: base/transparent_encoder.safetensors"},
            transparent_encoder);
    v.field({.key = "transparent_decoder",
             .help = "LayerDiffuse's transparent decoder; empty: base/transparent_decoder.safetensors"},
            transparent_decoder);
    v.field({.key = "calibration",
             .help = "what `deda generate --calibrate` wrote for these weights; empty: base/calibration.json "
                     "where it is"},
            calibration);
    v.field({.key = "instruct", .help = "diffusers folder of InstructPix2Pix, which edits for DiffuseMix"},
            instruct);
    v.field(
        {.key = "clip", .help = "transformers folder of a CLIP, which judges the edits of generative peers"},
        clip);
    describe_device(v, device);
    v.field({.key = "captured_graphs",
             .help = "on a GPU: a step of the UNet is recorded once and started as one graph, which costs "
                     "the host microseconds instead of a launch per kernel"},
            captured_graphs);
    v.field({.key = "channels_last",
             .help = "on a GPU: convolutions of UNet and autoencoder in channels-last order, as its matrix "
                     "units want them"},
            channels_last);
    v.field({.key = "pad_attention_heads",
             .help = "on a GPU in half precision: heads narrower than 64 (Stable Diffusion 1.5 has 40) are "
                     "padded to 64; `device_figures diffusion` measures whether that is faster on a card"},
            pad_attention_heads);
    const std::initializer_list<std::pair<std::string_view, Precision>> precisions{
        {"auto", Precision::automatic},
        {"fp32", Precision::fp32},
        {"tf32", Precision::tf32},
        {"bf16", Precision::bf16},
        {"fp16", Precision::fp16}};
    v.choice(
        {.key = "precision", .help = "of the UNet; auto: fp32 on CPUs, bf16 on GPUs that have it, else fp16"},
        precision, precisions);
    v.choice({.key = "vae_precision",
              .help = "of autoencoder and transparent networks; auto: fp32 on CPUs, tf32 on GPUs: fp16 "
                      "overflows in SDXL's, and bf16 has fewer digits than a picture"},
             vae_precision, precisions);
  }
};

// What inversion and generation have in common.
struct DiffusionConfig {
  double strength = 0.4;
  std::int64_t resolution = 0;
  double margin_share = 0.1;
  OffsetGain offset_gain = OffsetGain::automatic;
  std::string prompt = "a photo of a {token}";
  std::string init_word = {};
  std::vector<std::string> init_words = {};
  std::int64_t encode_batch = 8;
  std::int64_t seed = 1;
  void describe(ConfigVisitor& v) {
    v.field({.key = "seed",
             .help = "seed of identifiers and synthetic CDPs; apart from run.seed, so that classifiers of "
                     "several seeds share them",
             .min = 0},
            seed);
    // In the key of generate only (src/pipeline): identifiers depend on the largest timestep alone, so that
    // strengths can be swept with the same ones where invert.most_timestep is set.
    v.field({.key = "strength",
             .help = "share of the noise that the edit adds and takes away (paper: 0.4); identifiers are "
                     "learnt up to it; 0: no synthetic CDPs",
             .min = 0,
             .max = 1},
            strength);
    v.field({.key = "resolution",
             .help = "pixels a side of the model's picture, a multiple of 64; 0: the model's own",
             .min = 0,
             .max = 2048},
            resolution);
    v.field({.key = "margin_share",
             .help = "free room around a CDP in the model's square, of its longer side",
             .min = 0,
             .max = 1},
            margin_share);
    v.choice(
        {.key = "offset_gain",
         .help = "factor of LayerDiffuse's latent offset: public programs disagree (1 and 300); auto: what "
                 "`deda generate --calibrate` wrote for these weights, else 300 for SDXL and 1 for SD1.5"},
        offset_gain,
        {{"auto", OffsetGain::automatic},
         {"0", OffsetGain::g0},
         {"1", OffsetGain::g1},
         {"300", OffsetGain::g300}});
    v.field({.key = "prompt", .help = "prompt of generation; {token} is the class's identifier"}, prompt);
    v.field(
        {.key = "init_word",
         .help =
             "word that every identifier starts from (paper: Bird, Aircraft, Car); empty: the class's name"},
        init_word);
    v.field({.key = "init_words", .help = "the same per class, as \"class name=word\"; wins over init_word"},
            init_words);
    v.field({.key = "encode_batch", .help = "CDPs encoded at once", .min = 1, .max = 256}, encode_batch);
  }
};

// Truncated-timestep textual inversion (paper section 3.2.1, table 6).
struct InvertConfig {
  std::int64_t steps = 400, batch = 32, vectors = 1, classes_per_batch = 1, micro_batch = 0;
  double learning_rate = 1e-4, weight_decay = 1e-2, flip = 0.5;
  bool scale_lr = false;
  std::int64_t most_timestep = -1;
  InvertTemplates templates = InvertTemplates::objects;
  InvertUNet unet = InvertUNet::merged;
  InvertLatent latent = InvertLatent::transparent;
  NanPolicy nan = NanPolicy::retry_lower_rate;
  std::int64_t nan_retries = 2;
  std::int64_t checkpoint_every = 100, held_out = 0, report_every = 10;
  std::int64_t cache_megabytes = 2048;
  void describe(ConfigVisitor& v) {
    v.field({.key = "steps", .help = "optimiser steps per class (paper: 400)", .min = 1, .max = 1e6}, steps);
    v.field({.key = "batch", .help = "latents per step and class (paper: 32)", .min = 1, .max = 4096}, batch);
    v.field({.key = "learning_rate", .help = "of AdamW (paper: 1e-4)", .min = 0, .max = 1}, learning_rate);
    v.field(
        {.key = "scale_lr", .help = "multiply the learning rate by the batch, as the script's option does"},
        scale_lr);
    v.field({.key = "weight_decay", .help = "of AdamW", .min = 0, .max = 1}, weight_decay);
    v.field({.key = "most_timestep",
             .help = "largest timestep trained on; -1: floor(1000 * diffusion.strength) (TTTI), 999: plain "
                     "textual inversion",
             .min = -1,
             .max = 999},
            most_timestep);
    v.field({.key = "vectors", .help = "embedding rows per identifier", .min = 1, .max = 16}, vectors);
    v.choice(
        {.key = "templates", .help = "objects: the script's 27 templates; photo: \"a photo of a\" alone"},
        templates, {{"objects", InvertTemplates::objects}, {"photo", InvertTemplates::photo}});
    v.field({.key = "flip", .help = "probability that a CDP is mirrored", .min = 0, .max = 1}, flip);
    v.choice({.key = "unet", .help = "merged: with LayerDiffuse's weights, as it generates; plain: without"},
             unet, {{"merged", InvertUNet::merged}, {"plain", InvertUNet::plain}});
    v.choice(
        {.key = "latent",
         .help = "transparent: with the offset, as it generates; rgb_on_grey: the picture on grey; picture: "
                 "whole pictures instead of CDPs (DA-Fusion sets that itself)"},
        latent,
        {{"transparent", InvertLatent::transparent},
         {"rgb_on_grey", InvertLatent::rgb_on_grey},
         {"picture", InvertLatent::picture}});
    v.field(
        {.key = "classes_per_batch",
         .help =
             "classes trained together in one batch, as far as the device has room; their losses are added",
         .min = 1,
         .max = 64},
        classes_per_batch);
    v.field({.key = "micro_batch",
             .help = "latents per forward pass, gradients added; 0: the whole batch, on a GPU as many as "
                     "its memory holds (measured at the start)",
             .min = 0,
             .max = 4096},
            micro_batch);
    v.choice({.key = "nan",
              .help = "when a loss is not a number: train the class again at a tenth of the rate, leave it "
                      "out, or end"},
             nan,
             {{"retry_lower_rate", NanPolicy::retry_lower_rate},
              {"skip_class", NanPolicy::skip_class},
              {"fail", NanPolicy::fail}});
    v.field({.key = "nan_retries", .help = "how often a class is tried again", .min = 0, .max = 10},
            nan_retries);
    v.field({.key = "checkpoint_every", .help = "steps between checkpoints of a class", .min = 1, .max = 1e6},
            checkpoint_every);
    v.field({.key = "report_every", .help = "steps between points of the loss curve", .min = 1, .max = 1e6},
            report_every);
    v.field({.key = "held_out",
             .help = "CDPs per class kept out of training, to measure the identifier on",
             .min = 0,
             .max = 1000},
            held_out);
    v.field({.key = "cache_megabytes",
             .help = "memory for cached latents per rank; the rest is encoded again",
             .min = 1,
             .max = 1 << 20},
            cache_megabytes);
  }
};

// Largest timestep that identifiers are trained on: TTTI's floor(1000 s) (paper section 3.2.1) unless
// configured.
inline std::int64_t most_timestep(const DiffusionConfig& diffusion, const InvertConfig& invert) {
  constexpr double timesteps = 1000;
  if (invert.most_timestep >= 0) return invert.most_timestep;
  return std::min<std::int64_t>(static_cast<std::int64_t>(timesteps * diffusion.strength), 999);
}

// SDEdit (paper section 3.2.2).
struct GenerateConfig {
  std::int64_t copies = 3, store_copies = 0;
  std::int64_t steps = 25, batch_cdps = 4, autoencoder_batch = 4, items_per_segment = 64;
  IdentifierChoice identifier = IdentifierChoice::learned;
  double guidance = 7.0;
  Sampler sampler = Sampler::dpmpp2m_linspace;
  std::string negative_prompt;
  DecoderLatent decoder_latent = DecoderLatent::automatic;
  DecoderPixel decoder_pixel = DecoderPixel::clipped;
  std::int64_t decoder_votes = 8;
  double least_alpha = 0.02, least_component_share = 0.05;
  double least_alpha_inside = 0.5, least_area_ratio = 0.5, most_area_ratio = 2.0;
  double max_failed_share = 1.0;
  bool allow_empty = false;
  // Of the generative peers, whose stage this is where augment.method is one; the keys above concern De-DA
  // alone, but for items_per_segment, batch_cdps, autoencoder_batch, max_failed_share and allow_empty.
  generative::ByMethod<generative::GenerationSettings> peers;
  void describe(ConfigVisitor& v) {
    v.field({.key = "copies",
             .help = "synthetic CDPs per real one that training uses, the first ones of the store (paper: 3)",
             .min = 1,
             .max = 100},
            copies);
    v.field({.key = "store_copies",
             .help = "synthetic CDPs per real one that the store holds, so that runs which use fewer share "
                     "it; 0: as many as copies",
             .min = 0,
             .max = 100},
            store_copies);
    v.field({.key = "steps",
             .help = "denoising steps of the whole range; strength of them are evaluated (paper: 25)",
             .min = 1,
             .max = 999},
            steps);
    v.field({.key = "guidance",
             .help = "classifier-free guidance (paper: 7.0); 1 or less: none",
             .min = 0,
             .max = 100},
            guidance);
    v.choice({.key = "sampler",
              .help = "the sampler; strength 0.4 starts exactly at t = 400 with dpmpp2m_linspace"},
             sampler,
             {{"dpmpp2m_linspace", Sampler::dpmpp2m_linspace},
              {"dpmpp2m_leading", Sampler::dpmpp2m_leading},
              {"ddim_leading", Sampler::ddim_leading},
              {"euler_leading", Sampler::euler_leading},
              {"euler_ancestral_leading", Sampler::euler_ancestral_leading},
              {"euler_ancestral_linspace", Sampler::euler_ancestral_linspace},
              {"pndm_faithful", Sampler::pndm_faithful},
              {"karras25_cli", Sampler::karras25_cli}});
    v.field({.key = "negative_prompt", .help = "text that guidance leads away from"}, negative_prompt);
    v.choice(
        {.key = "decoder_latent",
         .help = "what the transparent decoder is given: the latent before (unscaled) or after the scaling "
                 "factor; auto: calibrated, else unscaled"},
        decoder_latent,
        {{"auto", DecoderLatent::automatic},
         {"unscaled", DecoderLatent::unscaled},
         {"scaled", DecoderLatent::scaled}});
    v.choice(
        {.key = "decoder_pixel",
         .help = "what it sees of the decoded picture: clipped to 0..1, raw, or rounded to 8 bits"},
        decoder_pixel,
        {{"clipped", DecoderPixel::clipped}, {"raw", DecoderPixel::raw}, {"8bit", DecoderPixel::eight_bit}});
    v.field({.key = "decoder_votes",
             .help = "orientations that the transparent decoder votes over: 8 (the original's) or 1",
             .min = 1,
             .max = 8},
            decoder_votes);
    v.field({.key = "least_alpha", .help = "fainter alpha becomes 0", .min = 0, .max = 1}, least_alpha);
    v.field({.key = "least_component_share",
             .help = "parts smaller than this share of the largest are dropped",
             .min = 0,
             .max = 1},
            least_component_share);
    v.field({.key = "least_alpha_inside",
             .help = "reject: mean alpha inside of the source's mask below this",
             .min = 0,
             .max = 1},
            least_alpha_inside);
    v.field(
        {.key = "least_area_ratio", .help = "reject: opaque area below this share of the source's", .min = 0},
        least_area_ratio);
    v.field({.key = "most_area_ratio",
             .help = "reject: opaque area above this multiple of the source's",
             .min = 0},
            most_area_ratio);
    v.field({.key = "batch_cdps",
             .help = "CDPs of one unit of work, denoised together, one copy of each after the other; 0: on a "
                     "GPU as many as its memory holds (measured; another card then gives other last digits), "
                     "on CPUs 4",
             .min = 0,
             .max = 256},
            batch_cdps);
    v.field({.key = "autoencoder_batch",
             .help = "pictures that autoencoder and transparent networks take at once",
             .min = 1,
             .max = 256},
            autoencoder_batch);
    v.choice(
        {.key = "identifier",
         .help = "what stands for {token} in the prompt: what `deda invert` learnt, or the class's name"},
        identifier, {{"learned", IdentifierChoice::learned}, {"class_name", IdentifierChoice::class_name}});
    v.field({.key = "items_per_segment", .help = "CDPs per segment of the store", .min = 1, .max = 1e6},
            items_per_segment);
    v.field({.key = "max_failed_share",
             .help = "end with an error when more of the CDPs fail",
             .min = 0,
             .max = 1},
            max_failed_share);
    v.field({.key = "allow_empty",
             .help = "whether a store without a single usable copy is a success; false: an error"},
            allow_empty);
    peers.describe_sections(v);
    v.require(decoder_votes == 1 || decoder_votes == 8, "decoder_votes", "must be 1 or 8",
              "The original's is 8.");
    v.require(least_area_ratio <= most_area_ratio, "least_area_ratio", "is above most_area_ratio",
              "Every synthetic CDP would be rejected.");
    v.require(guidance > 1 || negative_prompt.empty(), "negative_prompt", "has no effect without guidance",
              "Set generate.guidance above 1, or leave the negative prompt out.");
    v.require(store_copies == 0 || store_copies >= copies, "store_copies",
              "the store would hold fewer synthetic CDPs than training uses",
              "Raise it to generate.copies at least, or set it to 0.");
  }
};

// Synthetic CDPs per real one that `deda generate` makes.
inline std::int64_t copies_in_store(const GenerateConfig& generate) {
  return std::max(generate.copies, generate.store_copies);
}

// The toy model's training (pretrain.h).
struct PretrainConfig {
  std::int64_t seed = 7;
  std::int64_t per_class = 300;
  std::int64_t toy_seed = 9001;
  std::int64_t resolution = 64;
  std::int64_t autoencoder_steps = 1600, transparent_steps = 600, unet_steps = 3000;
  std::int64_t autoencoder_batch = 16, transparent_batch = 16, unet_batch = 32;
  double autoencoder_rate = 3e-3, transparent_rate = 2e-3, unet_rate = 1.5e-3;
  void describe(ConfigVisitor& v) {
    constexpr double most_steps = 1e6;
    v.field({.key = "seed", .help = "seed of weights and draws", .min = 0}, seed);
    v.field({.key = "per_class", .help = "toy CDPs to draw per class", .min = 10, .max = 100000}, per_class);
    v.field({.key = "toy_seed",
             .help = "seed of those drawings; another than toy.seed, or the demo's pictures are known"},
            toy_seed);
    v.field({.key = "resolution",
             .help = "pixels a side of the model's picture, a multiple of 8",
             .min = 16,
             .max = 512},
            resolution);
    v.field({.key = "autoencoder_steps", .help = "steps of the autoencoder", .min = 1, .max = most_steps},
            autoencoder_steps);
    v.field({.key = "transparent_steps",
             .help = "steps of the transparent encoder and decoder",
             .min = 1,
             .max = most_steps},
            transparent_steps);
    v.field({.key = "unet_steps", .help = "steps of text encoder and UNet", .min = 1, .max = most_steps},
            unet_steps);
    v.field({.key = "autoencoder_batch", .help = "pictures a step", .min = 2, .max = 4096},
            autoencoder_batch);
    v.field({.key = "transparent_batch", .help = "pictures a step", .min = 2, .max = 4096},
            transparent_batch);
    v.field({.key = "unet_batch", .help = "latents a step", .min = 2, .max = 4096}, unet_batch);
    v.field({.key = "autoencoder_rate", .help = "learning rate of AdamW", .min = 0}, autoencoder_rate);
    v.field({.key = "transparent_rate", .help = "learning rate of AdamW", .min = 0}, transparent_rate);
    v.field({.key = "unet_rate", .help = "learning rate of AdamW", .min = 0}, unet_rate);
    v.require(resolution % 8 == 0, "resolution", "must be a multiple of 8", "The toy model uses 64.");
  }
};

}  // namespace deda::diffusion
