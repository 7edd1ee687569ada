#include "made_up_networks.h"

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "models/classifiers/exported_graph.h"
#include "models/classifiers/facts.h"
#include "models/grounding_dino/grounding_dino.h"
#include "models/made_up_weights.h"
#include "models/registry.h"
#include "models/sam/sam.h"
#include "models/small_unets.h"
#include "models/weights/weights.h"

namespace deda::check {
namespace {

namespace fs = std::filesystem;
using models::NamedTensors;
using test::made_up;

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// Of He's size, with norms near 1; the last norm of each block of a ResNet is small, as if the block had just
// begun to learn: activations keep their size through all blocks, also in half precision.
at::Tensor classifier_weight(std::uint64_t index, const std::string& name, const at::Tensor& tensor) {
  const auto shape = tensor.sizes();
  if (name == "encoder.pos_embedding" || name == "class_token") return made_up(index, shape, -0.5, 0.5);
  if (tensor.dim() > 1) {
    // A Vision Transformer's matrices have no ReLU behind them that halves what comes through.
    const double gain = name.find("encoder.") == 0 || name.find("conv_proj.") == 0 ? 1.5 : 6.0;
    const double bound =
        std::sqrt(gain * static_cast<double>(tensor.size(0)) / static_cast<double>(tensor.numel()));
    return made_up(index, shape, -bound, bound);
  }
  if (ends_with(name, "running_var")) return made_up(index, shape, 0.5, 1.5);
  const bool last_of_block =
      name.find("layer") == 0 && (ends_with(name, "bn3.weight") || ends_with(name, "bn2.weight"));
  if (last_of_block) return made_up(index, shape, 0.3, 0.5);
  if (ends_with(name, "weight")) return made_up(index, shape, 0.8, 1.2);
  return made_up(index, shape, -0.1, 0.1);
}

NetworkCase classifier(const models::ClassifierFacts& facts, const fs::path& work) {
  constexpr std::int64_t classes = 100, pictures = 4, side = 96;
  const std::string name{facts.name};
  models::ClassifierOptions options;
  options.classes = classes;
  options.side = side;
  const auto network = models::make_classifier(name, options);
  const at::NoGradGuard no_gradients;
  std::uint64_t index = 0;
  for (auto& [tensor_name, tensor] : models::state_of(*network)) {
    at::Tensor target = tensor;
    if (!ends_with(tensor_name, "num_batches_tracked"))
      target.copy_(classifier_weight(index, tensor_name, tensor));
    ++index;
  }
  const auto file = work / (name + ".safetensors");
  models::save_weights(*network, file);
  return {name, name, file, {{"input", made_up(9001, {pictures, 3, side, side}, -2, 2)}}};
}

void write_config(const fs::path& folder, const std::string& text) {
  make_folder(folder);
  write_atomically(folder / "config.json", text);
}

NetworkCase small_unet(const std::string& name, const models::UNetConfig& config, NamedTensors inputs,
                       const fs::path& work) {
  models::UNet network(config);
  test::fill_made_up(network);
  write_config(work / name, models::to_json(config));
  models::save_weights(network, work / name / "diffusion_pytorch_model.safetensors");
  return {name, "unet", work / name, std::move(inputs)};
}

// The five networks of the trained toy model.
void add_toy_model(std::vector<NetworkCase>& cases, const fs::path& toy) {
  const auto text = read_json(toy / "text_encoder" / "config.json");
  const auto width = text.at("hidden_size").get<std::int64_t>(),
             end = text.at("eos_token_id").get<std::int64_t>(),
             begin = text.at("bos_token_id").get<std::int64_t>();
  constexpr std::int64_t side = 64, latent = 16;
  cases.push_back({"unet",
                   "unet",
                   toy,
                   {{"sample", made_up(9001, {2, 4, latent, latent})},
                    {"timestep", at::tensor({400, 37}, at::kLong)},
                    {"encoder_hidden_states", made_up(9002, {2, 7, width})}}});
  cases.push_back({"vae_encoder", "vae_encoder", toy, {{"sample", made_up(9003, {2, 3, side, side})}}});
  cases.push_back(
      {"vae_decoder", "vae_decoder", toy, {{"sample", made_up(9004, {2, 4, latent, latent}, -2, 2)}}});
  cases.push_back({"text_encoder",
                   "text_encoder",
                   toy,
                   {{"input_ids",
                     at::tensor({begin, std::int64_t{5}, std::int64_t{77}, std::int64_t{300}, end, end, begin,
                                 std::int64_t{12}, std::int64_t{4}, std::int64_t{590}, std::int64_t{8}, end},
                                at::kLong)
                         .view({2, 6})}}});
  cases.push_back({"transparent_encoder",
                   "transparent_encoder",
                   toy / "transparent_encoder.safetensors",
                   {{"x", made_up(9005, {2, 4, side, side}, 0, 1)}}});
  cases.push_back({"transparent_decoder",
                   "transparent_decoder",
                   toy / "transparent_decoder.safetensors",
                   {{"pixel", made_up(9006, {2, 3, side, side}, 0, 1)},
                    {"latent", made_up(9007, {2, 4, latent, latent})}}});
}

at::Tensor sam_weight(std::uint64_t index, const std::string& name, at::IntArrayRef shape) {
  if (ends_with(name, "running_var")) return made_up(index, shape, 0.5, 1.5);
  if (ends_with(name, "bn.weight")) return made_up(index, shape, 0.8, 1.2);
  return test::made_up_weight(index, name, shape);
}

NamedTensors sam_inputs(std::int64_t side) {
  const auto size = static_cast<double>(side);
  auto boxes = made_up(9002, {2, 3, 4}, -0.1 * size, 0.6 * size);
  boxes.slice(2, 2).copy_(boxes.slice(2, 0, 2) + made_up(9003, {2, 3, 2}, 0, 0.5 * size));
  return {{"pixel_values", made_up(9001, {2, 3, side, side}, -2, 2)}, {"input_boxes", boxes}};
}

NetworkCase sam(const json& facts, const fs::path& work) {
  const auto folder = work / "sam";
  write_config(folder, facts.at("configs").at("windows").at("config.json").dump());
  const auto config = models::read_sam_config(folder / "config.json");
  NamedTensors state;
  std::uint64_t index = 0;
  for (const auto& [name, tensor] : models::state_of(models::Sam(config)))
    state[name] = sam_weight(index++, name, tensor.sizes());
  models::write_tensors(folder / "model.safetensors", state);
  return {"sam", "sam", folder, sam_inputs(config.image_size())};
}

NetworkCase mobile_sam(const json& facts, const fs::path& work) {
  constexpr std::int64_t side = 96;
  const auto folder = work / "mobile_sam";
  NamedTensors tensors;
  std::uint64_t index = 20000;
  for (const auto& [name, shape] : facts.at("mobile_shapes").items())
    tensors["image_encoder." + name] = sam_weight(index++, name, shape.get<std::vector<std::int64_t>>());
  index = 0;
  for (const auto& [name, entry] : facts.at("mobile_rest").items())
    tensors[entry[0].get<std::string>()] =
        sam_weight(index++, name, entry[1].get<std::vector<std::int64_t>>());
  make_folder(folder);
  models::write_tensors(folder / "mobile_sam.safetensors", tensors);
  write_atomically(folder / "preprocessor_config.json",
                   R"({"size": {"longest_edge": 96}, "pad_size": {"height": 96, "width": 96}})");
  return {"mobile_sam", "sam", folder, sam_inputs(side)};
}

NetworkCase grounding_dino(const json& facts, const fs::path& work) {
  const auto folder = work / "grounding_dino";
  write_config(folder, facts.at("padded").at("config").dump());
  models::GroundingDino network(models::read_grounding_dino_config(folder / "config.json"));
  test::fill_made_up(network);
  models::save_weights(network, folder / "model.safetensors");
  const auto ids =
      at::tensor({101, 7, 1012, 8, 9, 10, 1012, 102, 101, 11, 12, 1029, 13, 1012, 14, 102}, at::kLong)
          .view({2, 8});
  auto mask = at::ones({2, 96, 131}, at::kLong);
  mask[0].slice(1, 90).fill_(0);
  mask[1].slice(0, 70).fill_(0);
  return {"grounding_dino",
          "grounding_dino",
          folder,
          {{"pixel_values", made_up(9001, {2, 3, 96, 131}) * mask.unsqueeze(1)},
           {"pixel_mask", mask},
           {"input_ids", ids}},
          {"encoder_last_hidden_state_vision", "encoder_last_hidden_state_text"}};
}

at::Tensor made_up_bytes(std::int64_t height, std::int64_t width) {
  return made_up(9008, {1, height, width, 3}, 0, 255.99).to(at::kByte);
}

NetworkCase small_graph(const fs::path& work) {
  const auto folder = work / "exported_graph";
  make_folder(folder);
  write_atomically(folder / "graph.json",
                   R"({"input": {"tensor": 0, "shape_nhwc": [1, 33, 33, 3]}, "output": 3, "ops": [
    {"op": "CONV_2D", "name": "a", "inputs": [0], "out": 1, "sh": 2, "sw": 2, "pad": "SAME", "act": "relu6", "dh": 1, "dw": 1},
    {"op": "CONV_2D", "name": "b", "inputs": [1], "out": 2, "sh": 1, "sw": 1, "pad": "SAME", "act": "none", "dh": 2, "dw": 2},
    {"op": "ARG_MAX", "name": null, "inputs": [2], "out": 3}]})");
  write_atomically(folder / "labels.txt", "nothing\nbeetle\nground\n");
  models::write_tensors(folder / "model.safetensors", {{"a.weight", made_up(1, {16, 3, 3, 3}, -0.5, 0.5)},
                                                       {"a.bias", made_up(2, {16}, -0.1, 0.1)},
                                                       {"b.weight", made_up(3, {3, 16, 3, 3}, -0.2, 0.2)},
                                                       {"b.bias", made_up(4, {3}, -0.1, 0.1)}});
  return {"exported_graph", "deeplabv3_mnv2", folder, {{"image_u8_nhwc", made_up_bytes(33, 33)}}};
}

}  // namespace

std::vector<NetworkCase> made_up_networks(const NetworkSources& sources) {
  const at::NoGradGuard no_gradients;
  make_folder(sources.work);
  std::vector<NetworkCase> cases;
  for (const auto& facts : models::classifier_facts) cases.push_back(classifier(facts, sources.work));
  add_toy_model(cases, sources.toy);
  cases.push_back(small_unet("unet_sd15_like", test::sd15_like(),
                             {{"sample", made_up(9001, {2, 4, 12, 10})},
                              {"timestep", at::tensor({400, 37}, at::kLong)},
                              {"encoder_hidden_states", made_up(9002, {2, 7, 24})}},
                             sources.work));
  // Sizes in pixels that bfloat16 has exactly, as those of real pictures are chosen.
  cases.push_back(small_unet("unet_sdxl_like", test::sdxl_like(),
                             {{"sample", made_up(9001, {2, 4, 8, 14})},
                              {"timestep", at::tensor({400, 37}, at::kLong)},
                              {"encoder_hidden_states", made_up(9002, {2, 5, 40})},
                              {"text_embeds", made_up(9003, {2, 12})},
                              {"time_ids", made_up(9004, {2, 6}, 0, 128).floor() * 8}},
                             sources.work));
  const auto sam_facts = read_json(sources.golden / "sam.json");
  cases.push_back(sam(sam_facts, sources.work));
  cases.push_back(mobile_sam(sam_facts, sources.work));
  cases.push_back(grounding_dino(read_json(sources.golden / "grounding_dino.json"), sources.work));
  cases.push_back(small_graph(sources.work));
  if (!sources.deeplab.empty()) {
    const models::ExportedGraph graph(sources.deeplab);
    cases.push_back({"deeplab",
                     "deeplabv3_mnv2",
                     sources.deeplab,
                     {{"image_u8_nhwc", made_up_bytes(graph.height(), graph.width())}}});
  }
  return cases;
}

}  // namespace deda::check
