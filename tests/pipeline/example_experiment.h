// A small experiment on disk, whole enough to be planned: a drawn toy dataset, and files that stand for a
// diffusion model, networks and weights (planning reads their bytes, never their meaning).
#pragma once

#include <string>
#include <vector>

#include "comm/communicator.h"
#include "core/files.h"
#include "data/toy.h"
#include "pipeline/plan.h"
#include "support/temporary_folder.h"

namespace deda::test {

class ExampleExperiment {
 public:
  ExampleExperiment() {
    const auto base = folder / "model";
    write(
        base / "unet" / "config.json",
        R"({"_class_name":"UNet2DConditionModel","sample_size":8,"in_channels":4,"out_channels":4,)"
        R"("block_out_channels":[8,8],"down_block_types":["CrossAttnDownBlock2D","DownBlock2D"],)"
        R"("up_block_types":["UpBlock2D","CrossAttnUpBlock2D"],"layers_per_block":1,"cross_attention_dim":8,)"
        R"("attention_head_dim":2,"norm_num_groups":4})");
    write(
        base / "vae" / "config.json",
        R"({"_class_name":"AutoencoderKL","block_out_channels":[8,8,8,8],"latent_channels":4,)"
        R"("down_block_types":["DownEncoderBlock2D","DownEncoderBlock2D","DownEncoderBlock2D","DownEncoderBlock2D"],)"
        R"("up_block_types":["UpDecoderBlock2D","UpDecoderBlock2D","UpDecoderBlock2D","UpDecoderBlock2D"],)"
        R"("layers_per_block":1,"norm_num_groups":4,"scaling_factor":0.18215})");
    write(base / "text_encoder" / "config.json", "{}");
    for (const char* part : {"unet", "vae"})
      write(base / part / "diffusion_pytorch_model.safetensors", std::string{"weights of "} + part);
    write(base / "text_encoder" / "model.safetensors", "weights of the text encoder");
    write(base / "tokenizer" / "vocab.json", "{}");
    write(base / "tokenizer" / "merges.txt", "merges");
    write(base / "tokenizer" / "tokenizer_config.json", "{}");
    write(base / "scheduler" / "scheduler_config.json", "{}");
    for (const char* file :
         {"model/transparent_encoder.safetensors", "model/transparent_decoder.safetensors",
          "other_encoder.safetensors", "other_decoder.safetensors", "layer_diffuse.safetensors",
          "lora.safetensors", "adapter_config.json", "sam.safetensors", "weights.safetensors",
          "dino/model.safetensors", "deeplab/graph.json", "clip/config.json", "clip/model.safetensors",
          "clip/preprocessor_config.json", "clip/vocab.json", "clip/merges.txt", "fractals/one.png"})
      write(folder / file, std::string{"content of "} + file);
    std::filesystem::copy(base, folder / "instruct", std::filesystem::copy_options::recursive);
    write(folder / "exclude.txt", "images/train/00000.png\n");
    config.run.output = folder / "runs";
    config.toy.classes = 3;
    config.toy.train_per_class = 4;
    config.toy.test_per_class = 2;
    config.toy.size = 16;
    config.dataset.root = folder / "toy";
    config.models.base = base;
    config.augment.method = augment::Method::deda;
  }

  void draw() const { data::make_toy_dataset(comm::Communicator::self(), config.toy, config.dataset.root); }

  // The plan of the configuration with further settings, read as from the command line.
  pipeline::Plan plan(const std::vector<std::string>& settings = {},
                      pipeline::Stage target = pipeline::Stage::train) const {
    auto changed = config;
    read_config(changed, {.files = {}, .overrides = settings});
    FileDigests digests{folder / "digests"};
    return pipeline::plan_of(changed, target, digests);
  }

  std::string quoted(const std::string& name) const { return '"' + (folder / name).string() + '"'; }

  static void write(const std::filesystem::path& file, const std::string& text) {
    make_folder(file.parent_path());
    write_atomically(file, text);
  }
  // Another byte at the same length, as a person corrects a mask in place.
  static void change_a_byte(const std::filesystem::path& file) {
    std::string text = read_text(file);
    text.back() = static_cast<char>(text.back() ^ 1);
    write(file, text);
  }

  TemporaryFolder folder;
  pipeline::PipelineConfig config;
};

}  // namespace deda::test
