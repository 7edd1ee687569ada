#include "diffusion/transparent/calibration.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "core/error.h"
#include "core/files.h"

namespace deda::diffusion {
namespace {

Calibration read_calibration(const std::filesystem::path& file) {
  const auto broken = [&](const std::string& what) {
    return DataError(what, file.string(),
                     "Write it anew with `deda generate --calibrate`, or set models.calibration.");
  };
  const auto json = nlohmann::json::parse(read_text(file), nullptr, false);
  if (!json.is_object()) throw broken("is no JSON object");
  const auto chosen = json.find("chosen");
  const auto identity = json.find("model_identity");
  if (chosen == json.end() || !chosen->is_object() || identity == json.end() || !identity->is_string())
    throw broken("lacks `model_identity` or `chosen`");
  const auto gain = chosen->find("offset_gain"), latent = chosen->find("decoder_latent");
  if (gain == chosen->end() || !gain->is_number() || latent == chosen->end() || !latent->is_string() ||
      (*latent != "scaled" && *latent != "unscaled"))
    throw broken(
        "`chosen` lacks a numeric `offset_gain` or a `decoder_latent` of \"scaled\" or \"unscaled\"");
  return {identity->get<std::string>(), gain->get<double>(), *latent == "scaled"};
}

double number_of(OffsetGain gain) {
  return gain == OffsetGain::g300 ? 300.0 : gain == OffsetGain::g1 ? 1.0 : 0.0;
}

}  // namespace

TransparencyChoice choose_transparency(const ModelsConfig& models, const DiffusionConfig& diffusion,
                                       const GenerateConfig& generate, bool is_sdxl,
                                       const std::string& model_identity) {
  const bool asks =
      diffusion.offset_gain == OffsetGain::automatic || generate.decoder_latent == DecoderLatent::automatic;
  TransparencyChoice choice{is_sdxl ? 300.0 : 1.0, false, is_sdxl ? "defaults of SDXL" : "defaults of SD1.5"};
  auto file = models.calibration;
  if (file.empty() && std::filesystem::exists(models.base / "calibration.json"))
    file = models.base / "calibration.json";
  if (asks && !file.empty()) {
    const Calibration calibration = read_calibration(file);
    if (calibration.model_identity != model_identity)
      throw DataError(
          "was measured with other weights than the configuration names", file.string(),
          "Run `deda generate --calibrate` with these weights and name its file in models.calibration.");
    choice = {calibration.offset_gain, calibration.scaled_latent,
              fmt::format("calibrated: {}", file.string())};
  }
  if (!asks) choice.reason = "configured";
  if (diffusion.offset_gain != OffsetGain::automatic) choice.offset_gain = number_of(diffusion.offset_gain);
  if (generate.decoder_latent != DecoderLatent::automatic)
    choice.scaled_latent = generate.decoder_latent == DecoderLatent::scaled;
  return choice;
}

}  // namespace deda::diffusion
