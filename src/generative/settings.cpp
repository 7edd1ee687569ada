#include "generative/settings.h"

namespace deda::generative {
namespace {

constexpr std::int64_t most_copies = 100, most_steps = 999, most_side = 2048;

}  // namespace

GenerationSettings::GenerationSettings(Method chosen) : method{chosen} {
  switch (method) {
    case Method::real_guidance:
      prompt = "a photo of a {token}";
      strengths = {0.1};
      filter = Filter::above_chance;
      break;
    case Method::da_fusion:
      prompt = "a photo of a {token}";
      strengths = {0.25, 0.5, 0.75, 1.0};
      sampler = PeerSampler::pndm_faithful;
      break;
    case Method::diff_mix:
      prompt = "a photo of a {token} {noun}";
      strengths = {0.5, 0.7, 0.9};
      steps = 25;
      filter = Filter::with_object;
      break;
    case Method::diffusemix:
      prompts = {"Autumn", "snowy",   "watercolor art",      "sunset", "rainbow", "aurora",
                 "mosaic", "ukiyo-e", "a sketch with crayon"};
      steps = 100;
      guidance = 4;
      sampler = PeerSampler::euler_ancestral_linspace;
      resolution = 256;
      break;
  }
}

void GenerationSettings::describe(ConfigVisitor& v) {
  const auto& method_facts = facts();
  const bool noised = method_facts.editing == Editing::noised;
  v.field({.key = "copies",
           .help = method_facts.target == Target::any_class ? "edits, as a multiple of the training pictures"
                                                            : "edits of each training picture",
           .min = 1,
           .max = most_copies},
          copies);
  if (noised) {
    v.field({.key = "prompt",
             .help = "{token} is the class's name or learnt word, {noun} the setting of that name"},
            prompt);
    v.field({.key = "strengths",
             .help = "share of the noise that an edit adds and takes away; each edit draws one of these",
             .min = 0.01,
             .max = 1},
            strengths);
  } else {
    v.field({.key = "prompts",
             .help = "styles; the edits of a picture have different ones as long as there are any"},
            prompts);
    v.field(
        {.key = "image_guidance", .help = "how closely an edit keeps to its picture", .min = 0, .max = 100},
        image_guidance);
  }
  v.field({.key = "steps", .help = "denoising steps of the whole range", .min = 1, .max = most_steps}, steps);
  v.field({.key = "guidance",
           .help = "classifier-free guidance by the text; 1 or less: none",
           .min = 0,
           .max = 100},
          guidance);
  v.choice({.key = "sampler",
            .help = "pndm_faithful: Stable Diffusion's own, with its flaw in edits, as published"},
           sampler,
           {{"dpmpp2m_linspace", PeerSampler::dpmpp2m_linspace},
            {"pndm_faithful", PeerSampler::pndm_faithful},
            {"euler_ancestral_linspace", PeerSampler::euler_ancestral_linspace}});
  v.field({.key = "resolution",
           .help = "pixels a side of the squares that are edited; 0: the model's own",
           .min = 0,
           .max = most_side},
          resolution);
  v.field({.key = "stored_side",
           .help = "edits are kept in their picture's aspect, with this shorter side at most (DiffuseMix's "
                   "are squares)",
           .min = 8,
           .max = most_side},
          stored_side);
  v.choice(
      {.key = "filter",
       .help = "what CLIP (models.clip) judges: above_chance (its class among all), with_object (the noun or "
               "not); the "
               "score is kept, training goes by it"},
      filter,
      {{"none", Filter::none}, {"above_chance", Filter::above_chance}, {"with_object", Filter::with_object}});
  v.field({.key = "noun",
           .help = "what all pictures show (bird, aircraft); empty: the dataset's own word, else "
                   "diffusion.init_word"},
          noun);
  if (method_facts.words == Words::identifier) {
    v.field({.key = "initial_word", .help = "that every learnt word starts from"}, initial_word);
    v.field({.key = "inversion_steps", .help = "optimiser steps per class", .min = 1, .max = 1e6},
            inversion_steps);
    v.field({.key = "inversion_batch", .help = "latents per step", .min = 1, .max = 4096}, inversion_batch);
    v.field({.key = "inversion_rate",
             .help = "learning rate, multiplied by the batch as the original does",
             .min = 0,
             .max = 1},
            inversion_rate);
  }
  if (method_facts.blends) {
    v.field({.key = "fractal_share", .help = "of the fractal in the picture", .min = 0, .max = 1},
            fractal_share);
    v.field({.key = "fractals", .help = "folder of fractal pictures; empty: this program draws them"},
            fractals);
  }
}

TrainingUse::TrainingUse(Method chosen) : method{chosen} {
  if (method != Method::diff_mix) return;
  p_aug = 0.1;
  pool = Pool::all;
}

void TrainingUse::describe(ConfigVisitor& v) {
  v.field(
      {.key = "p_aug", .help = "probability that an edit takes the place of a picture", .min = 0, .max = 1},
      p_aug);
  v.choice(
      {.key = "pool", .help = "which edits: source (of that picture), target_class (into its class), all"},
      pool, {{"source", Pool::source}, {"target_class", Pool::target_class}, {"all", Pool::all}});
  v.field(
      {.key = "filtered", .help = "whether edits that the filter rejects are left out; false: all are used"},
      filtered);
  v.field({.key = "drop_lowest",
           .help = "percent of the edits that the filter with_object drops",
           .min = 0,
           .max = 100},
          drop_lowest);
  if (facts_of(method).target == Target::any_class)
    v.field({.key = "gamma",
             .help = "the target class has strength^gamma of the label, the source class the rest",
             .min = 0,
             .max = 10},
            gamma);
}

}  // namespace deda::generative
