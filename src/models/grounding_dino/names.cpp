#include "models/grounding_dino/names.h"

#include <utility>

namespace deda::models {
namespace {

using Rules = std::vector<std::pair<std::string, std::string>>;

const std::string published_backbone = "model.backbone.conv_encoder.model.";

bool starts_with(const std::string& text, const std::string& start) {
  return text.rfind(start, 0) == 0;
}
bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// The first rule whose left side stands at `at` is applied there, once.
bool replace_at(std::string& name, std::size_t at, const Rules& rules) {
  for (const auto& [from, to] : rules) {
    if (name.compare(at, from.size(), from) != 0) continue;
    name.replace(at, from.size(), to);
    return true;
  }
  return false;
}

// Behind PREFIX, a number and a dot.
std::size_t behind_index(const std::string& name, const std::string& prefix) {
  if (!starts_with(name, prefix)) return std::string::npos;
  const auto dot = name.find('.', prefix.size());
  return dot == std::string::npos ? dot : dot + 1;
}

// Swin blocks: the original's names and those transformers 5.x has in memory.
void rename_swin(std::string& name) {
  static const Rules rules{
      {"norm1.", "layernorm_before."},
      {"norm2.", "layernorm_after."},
      {"attn.qkv.", "attention.self.qkv."},
      {"attn.proj.", "attention.output.dense."},
      {"attn.relative_position_bias_table", "attention.self.relative_position_bias_table"},
      {"mlp.fc1.", "intermediate.dense."},
      {"mlp.fc2.", "output.dense."},
      {"attention.q_proj.", "attention.self.query."},
      {"attention.k_proj.", "attention.self.key."},
      {"attention.v_proj.", "attention.self.value."},
      {"attention.o_proj.", "attention.output.dense."},
      {"attention.relative_position_bias.", "attention.self."}};
  const auto blocks = name.find(".blocks.");
  if (blocks == std::string::npos) return;
  const auto at = behind_index(name, name.substr(0, blocks) + ".blocks.");
  if (at != std::string::npos) replace_at(name, at, rules);
}

// A layer of the original's transformer below PREFIX; false where the name is not of such a layer.
bool rename_layer(std::string& name, const std::string& prefix, const std::string& part, const Rules& rules) {
  const auto at = behind_index(name, prefix);
  if (at == std::string::npos) return false;
  const auto index = name.substr(prefix.size(), at - prefix.size());
  auto rest = name.substr(at);
  replace_at(rest, 0, rules);
  const std::string target = prefix.find("decoder") != std::string::npos ? "decoder" : "encoder";
  name = "model." + target + ".layers." + index + part + rest;
  return true;
}

bool rename_transformer_layer(std::string& name) {
  static const Rules fusion{{"layer_norm_v.", "layer_norm_vision."},
                            {"layer_norm_l.", "layer_norm_text."},
                            {"attn.v_proj.", "attn.vision_proj."},
                            {"attn.l_proj.", "attn.text_proj."},
                            {"attn.values_v_proj.", "attn.values_vision_proj."},
                            {"attn.values_l_proj.", "attn.values_text_proj."},
                            {"attn.out_v_proj.", "attn.out_vision_proj."},
                            {"attn.out_l_proj.", "attn.out_text_proj."},
                            {"gamma_v", "vision_param"},
                            {"gamma_l", "text_param"}};
  static const Rules text{{"linear1.", "fc1."},
                          {"linear2.", "fc2."},
                          {"norm1.", "layer_norm_before."},
                          {"norm2.", "layer_norm_after."}};
  static const Rules places{{"linear1.", "fc1."},
                            {"linear2.", "fc2."},
                            {"norm1.", "self_attn_layer_norm."},
                            {"norm2.", "final_layer_norm."}};
  static const Rules decoder{{"linear1.", "fc1."},
                             {"linear2.", "fc2."},
                             {"norm1.", "encoder_attn_layer_norm."},
                             {"norm2.", "self_attn_layer_norm."},
                             {"norm3.", "final_layer_norm."},
                             {"cross_attn.", "encoder_attn."},
                             {"ca_text.", "encoder_attn_text."},
                             {"catext_norm.", "encoder_attn_text_layer_norm."}};
  return rename_layer(name, "transformer.encoder.fusion_layers.", "fusion_layer.", fusion) ||
         rename_layer(name, "transformer.encoder.text_layers.", "text_enhancer_layer.", text) ||
         rename_layer(name, "transformer.encoder.layers.", "deformable_layer.", places) ||
         rename_layer(name, "transformer.decoder.layers.", "", decoder);
}

void rename_prefix(std::string& name) {
  static const Rules rules{
      {"backbone.0.patch_embed.proj.", published_backbone + "embeddings.patch_embeddings.projection."},
      {"backbone.0.patch_embed.norm.", published_backbone + "embeddings.norm."},
      {"backbone.0.layers.", published_backbone + "encoder.layers."},
      {published_backbone + "swin.", published_backbone},
      {"bert.", "model.text_backbone."},
      {"feat_map.", "model.text_projection."},
      {"input_proj.", "model.input_proj_vision."},
      {"transformer.level_embed", "model.level_embed"},
      {"transformer.tgt_embed.", "model.query_position_embeddings."},
      {"transformer.enc_output.", "model.enc_output."},
      {"transformer.enc_output_norm.", "model.enc_output_norm."},
      {"transformer.enc_out_bbox_embed.", "model.encoder_output_bbox_embed."},
      {"transformer.decoder.norm.", "model.decoder.layer_norm."},
      {"transformer.decoder.ref_point_head.", "model.decoder.reference_points_head."}};
  // Out norms of the original are numbered by stage from 0.
  const std::string out_norm = "backbone.0.norm";
  if (const auto at = behind_index(name, out_norm); at == out_norm.size() + 2) {
    const auto stage = std::string(1, static_cast<char>(name[out_norm.size()] + 1));
    name = published_backbone + "hidden_states_norms.stage" + stage + "." + name.substr(at);
  } else {
    replace_at(name, 0, rules);
  }
}

bool is_passed_over(const std::string& name) {
  return ends_with(name, "relative_position_index") || name == "label_enc.weight" ||
         name == "model.text_backbone.embeddings.position_ids" ||
         starts_with(name, "model.text_backbone.pooler.") ||
         starts_with(name, published_backbone + "layernorm.");  // of the backbone as a classifier
}

// Query, key and value one behind the other, under their three names.
std::vector<std::string> unpacked(const std::string& name) {
  for (const std::string packed : {"qkv.", "in_proj_"}) {
    const auto at = name.rfind(packed);
    if (at == std::string::npos) continue;
    const auto before = name.substr(0, at), after = name.substr(at + packed.size());
    return {before + "query." + after, before + "key." + after, before + "value." + after};
  }
  return {name};
}

const std::string module_prefix = "module.";  // of models saved while wrapped for several devices

std::string without_module(const std::string& name) {
  return starts_with(name, module_prefix) ? name.substr(module_prefix.size()) : name;
}

const std::vector<std::string>& box_head_lists() {
  static const std::vector<std::string> lists{"bbox_embed.", "model.decoder.bbox_embed.",
                                              "transformer.decoder.bbox_embed."};
  return lists;
}

}  // namespace

std::vector<std::string> grounding_dino_names(const std::string& given, const std::string& box_head) {
  auto name = without_module(given);
  for (const auto& list : box_head_lists()) {
    if (!starts_with(name, list)) continue;
    if (starts_with(name, box_head)) return {"bbox_embed.0." + name.substr(box_head.size())};
    return {};
  }
  if (!rename_transformer_layer(name)) rename_prefix(name);
  if (starts_with(name, published_backbone)) rename_swin(name);
  if (is_passed_over(name)) return {};
  return unpacked(name);
}

std::string grounding_dino_box_head(const WeightFiles& files) {
  for (const auto& list : box_head_lists()) {
    std::string first;
    for (const auto& file : files.files) {
      for (const auto& [given, view] : file.tensors()) {
        const auto name = without_module(given);
        const auto at = behind_index(name, list);
        if (at != std::string::npos && (first.empty() || name.substr(0, at) < first))
          first = name.substr(0, at);
      }
    }
    if (!first.empty()) return first;
  }
  return "bbox_embed.0.";
}

}  // namespace deda::models
