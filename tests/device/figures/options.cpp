#include "device/figures/options.h"

#include <CLI/CLI.hpp>
#include <cstdlib>

namespace deda::figures {
namespace {

void add_measuring_options(CLI::App& app, Options& options) {
  app.add_option("--device", options.device, "cuda or cpu")
      ->check(CLI::IsMember({"cuda", "cpu"}))
      ->capture_default_str();
  app.add_flag("--small", options.small, "small sizes: every path in seconds, on a CPU");
  app.add_option("--seconds", options.seconds, "begin no further figure after that")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
}

}  // namespace

Options read_options(int argc, char** argv) {
  Options options;
  CLI::App app{"Speed figures of one device, as JSON lines", "device_figures"};
  app.require_subcommand(1);
  auto* training = app.add_subcommand("training", "training steps of every classifier, alone and on samples");
  add_measuring_options(*training, options);
  training->add_flag("--without-samples", options.without_samples,
                     "the networks alone: no MPI, no store, no input path");
  auto* diffusion = app.add_subcommand("diffusion", "Stable Diffusion 1.5: UNet, SDEdit, TTTI, autoencoder");
  add_measuring_options(*diffusion, options);
  diffusion->add_option("--model", options.model, "a folder of make-model; else one is made and removed");
  auto* segmenters = app.add_subcommand("segmenters", "Segment Anything ViT-H and GroundingDINO base");
  add_measuring_options(*segmenters, options);
  auto* parallel =
      app.add_subcommand("parallel", "under mpirun, a rank per device: all-reduce, data-parallel step");
  add_measuring_options(*parallel, options);
  auto* model =
      app.add_subcommand("make-model", "Stable Diffusion 1.5's folder with random weights, in fp16");
  model->add_option("folder", options.model)->required();
  model->add_flag("--tiny", options.tiny, "a model of a few hundred kilobytes");
  model->add_option("--tokenizer", options.tokenizer, "copy this tokenizer folder instead of making one");
  auto* join = app.add_subcommand("join", "figures beside those of a peer, as ratios and verdicts");
  join->add_option("ours", options.ours)->required()->check(CLI::ExistingFile);
  join->add_option("peers", options.peers)->required()->check(CLI::ExistingFile);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::exit(app.exit(error));
  }
  options.subcommand = app.get_subcommands().front()->get_name();
  return options;
}

}  // namespace deda::figures
