// What `deda doctor` says of model folders: full-size ones as sparse files with true headers, whole and
// wrong.
#include "jobs/doctor_models.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/files.h"
#include "support/temporary_folder.h"

namespace deda::jobs {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

// One tensor of so many half-precision zeros; takes no room on the disk.
void write_sparse(const fs::path& file, std::int64_t parameters, const std::string& tensor = "weight") {
  make_folder(file.parent_path());
  const auto header = fmt::format(R"({{"{}":{{"dtype":"F16","shape":[{}],"data_offsets":[0,{}]}}}})", tensor,
                                  parameters, 2 * parameters);
  std::string bytes(8, '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(header.size() >> (8 * i));
  write_atomically(file, bytes + header);
  fs::resize_file(file, bytes.size() + header.size() + static_cast<std::uint64_t>(2 * parameters));
}

void write_model(const fs::path& folder, bool sdxl) {
  write_sparse(folder / "unet/diffusion_pytorch_model.fp16.safetensors", sdxl ? 2'567'463'684 : 859'520'964);
  write_sparse(folder / "vae/diffusion_pytorch_model.safetensors", 83'653'863);
  write_sparse(folder / "text_encoder/model.safetensors", 123'060'480);
  std::vector<std::string> small{"unet/config.json",         "vae/config.json",
                                 "text_encoder/config.json", "tokenizer/vocab.json",
                                 "tokenizer/merges.txt",     "scheduler/scheduler_config.json"};
  if (sdxl) {
    write_sparse(folder / "text_encoder_2/model.safetensors", 694'659'840);
    small.insert(small.end(),
                 {"text_encoder_2/config.json", "tokenizer_2/vocab.json", "tokenizer_2/merges.txt"});
  }
  for (const auto& file : small) {
    make_folder((folder / file).parent_path());
    write_atomically(folder / file, "{}");
  }
  write_sparse(folder / "transparent_encoder.safetensors", 1'181'764, "blocks.0.weight");
  write_sparse(folder / "transparent_decoder.safetensors", 1000, "down_blocks.0.weight");
}

diffusion::ModelsConfig config_of(const fs::path& folder, const std::string& layer_diffuse) {
  diffusion::ModelsConfig config;
  config.base = folder;
  if (!layer_diffuse.empty()) config.layer_diffuse = folder / layer_diffuse;
  return config;
}

struct Said {
  std::string lines, problems;
};
Said said(const diffusion::ModelsConfig& config) {
  const auto finding = examine_models(config);
  Said all;
  for (const auto& [part, found] : finding.lines) all.lines += part + ": " + found + "\n";
  for (const auto& problem : finding.problems) all.problems += to_string(problem) + "\n";
  return all;
}

TEST(DoctorModels, NamesWhatItFindsAndComputesTheMemory) {
  test::TemporaryFolder folder;
  write_model(folder / "sd15", false);
  write_sparse(folder / "sd15/attn.safetensors", 1000, "hookers.layers.0.to_q_lora.0.up.weight");
  const auto sd15 = said(config_of(folder / "sd15", "attn.safetensors"));
  EXPECT_EQ(sd15.problems, "");
  EXPECT_THAT(sd15.lines, HasSubstr("Stable Diffusion 1.5's layout"));
  EXPECT_THAT(sd15.lines,
              HasSubstr("unet: 859.5 M parameters in F16, 1.72 GB (Stable Diffusion 1.5's UNet)"));
  EXPECT_THAT(sd15.lines, HasSubstr("(CLIP-L's text encoder)"));
  EXPECT_THAT(sd15.lines, HasSubstr("Stable Diffusion 1.5's attention replacement"));
  EXPECT_THAT(sd15.lines,
              HasSubstr("(LayerDiffuse's transparent encoder), sum not among the known ones (sha256 "));
  EXPECT_THAT(sd15.lines, HasSubstr("memory, weights: 4.27 GB with the UNet in fp32, 2.55 GB in bf16"));
  write_model(folder / "sdxl", true);
  write_sparse(folder / "sdxl/attn.safetensors", 1000,
               "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.weight");
  const auto sdxl = said(config_of(folder / "sdxl", "attn.safetensors"));
  EXPECT_EQ(sdxl.problems, "");
  EXPECT_THAT(sdxl.lines, HasSubstr("(OpenCLIP bigG's text encoder)"));
  EXPECT_THAT(sdxl.lines,
              HasSubstr("memory, loading: 13.88 GB of the host at most: what is merged is merged in fp32"));
}

TEST(DoctorModels, SaysWhereToGetWhatIsMissing) {
  test::TemporaryFolder folder;
  EXPECT_THAT(said(config_of(folder / "nothing", "")).problems, HasSubstr("configs/models/README.md"));
  write_model(folder.path(), false);
  fs::remove(folder / "transparent_decoder.safetensors");
  fs::remove(folder / "tokenizer/merges.txt");
  fs::rename(folder / "vae/diffusion_pytorch_model.safetensors", folder / "vae/diffusion_pytorch_model.bin");
  auto config = config_of(folder.path(), "");
  config.lora = {"/nowhere.safetensors=0.5"};
  const auto problems = said(config).problems;
  EXPECT_THAT(problems,
              HasSubstr("layer_sd15_transparent_attn.safetensors of LayerDiffusion/layerdiffusion-v1"));
  EXPECT_THAT(problems, HasSubstr("layer_sd15_vae_transparent_decoder.safetensors"));
  EXPECT_THAT(problems, HasSubstr("merges.txt"));
  EXPECT_THAT(problems, HasSubstr("holds diffusion_pytorch_model.bin only"));
  EXPECT_THAT(problems, HasSubstr("/nowhere.safetensors"));
}

TEST(DoctorModels, TellsFilesOfAnotherFamily) {
  test::TemporaryFolder folder;
  write_model(folder.path(), false);
  write_sparse(folder / "xl.safetensors", 1000, "diffusion_model.input_blocks.4.1.proj_in.weight::lora::0");
  EXPECT_THAT(said(config_of(folder.path(), "xl.safetensors")).problems,
              HasSubstr("is for SDXL, the base is Stable Diffusion 1.5"));
  write_sparse(folder / "lora.safetensors", 1000, "lora_unet_x.lora_up.weight");
  EXPECT_THAT(said(config_of(folder.path(), "lora.safetensors")).problems,
              HasSubstr("is no LayerDiffuse file"));
  fs::create_directories(folder / "text_encoder_2");
  EXPECT_THAT(said(config_of(folder.path(), "xl.safetensors")).problems,
              HasSubstr("the text encoders are not"));
  fs::resize_file(folder / "unet/diffusion_pytorch_model.fp16.safetensors", 1000);
  EXPECT_THAT(said(config_of(folder.path(), "")).problems,
              HasSubstr("diffusion_pytorch_model.fp16.safetensors"));
}

TEST(DoctorModels, TellsTheTransparentNetworksApart) {
  test::TemporaryFolder folder;
  write_model(folder.path(), false);
  write_sparse(folder / "attn.safetensors", 1000, "hookers.layers.0.to_q_lora.0.up.weight");
  auto config = config_of(folder.path(), "attn.safetensors");
  config.transparent_encoder = folder / "transparent_decoder.safetensors";
  config.transparent_decoder = folder / "transparent_encoder.safetensors";
  const auto swapped = said(config).problems;
  EXPECT_THAT(swapped,
              HasSubstr("models.transparent_encoder: is a transparent decoder; perhaps the two keys are swapped"));
  EXPECT_THAT(swapped,
              HasSubstr("models.transparent_decoder: is a transparent encoder; perhaps the two keys are swapped"));
  config.transparent_decoder = folder / "vae/diffusion_pytorch_model.safetensors";
  EXPECT_THAT(said(config).problems,
              HasSubstr("holds no tensor down_blocks...., as LayerDiffuse's file does"));
}

TEST(DoctorModels, APublishedDecoderNeedsAUNetThatKnowsTransparency) {
  test::TemporaryFolder folder;
  write_model(folder.path(), false);
  write_sparse(folder / "unet/diffusion_pytorch_model.fp16.safetensors", 1234);  // somebody's own UNet
  write_sparse(folder / "transparent_decoder.safetensors", 104'104'804, "down_blocks.0.weight");
  EXPECT_THAT(said(config_of(folder.path(), "")).problems,
              HasSubstr("models.transparent_decoder is LayerDiffuse's transparent decoder"));
}

TEST(DoctorModels, TheResolutionMustFitTheNetworks) {
  diffusion::ModelsConfig config;
  config.base = fs::path(DEDA_SOURCE_DIR) / "configs/models/toy";
  EXPECT_TRUE(examine_models(config, 0).problems.empty());
  EXPECT_TRUE(examine_models(config, 128).problems.empty());
  const auto finding = examine_models(config, 100);
  ASSERT_EQ(finding.problems.size(), 1u);
  EXPECT_THAT(to_string(finding.problems.front()),
              HasSubstr("diffusion.resolution: 100 is no multiple of 16"));
}

}  // namespace
}  // namespace deda::jobs
