// Synthetic CDPs in memory: real CDPs of one unit of work through encoding, SDEdit, decoding, clean-up and
// checks. Why apart from the stage: the sheet of strengths, traces and benchmarks use the same code.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "diffusion/cdp_source.h"
#include "diffusion/inversion/identifiers.h"
#include "diffusion/sampling/sdedit.h"
#include "diffusion/transparent/calibration.h"
#include "diffusion/transparent/framing.h"
#include "diffusion/transparent/transparent_autoencoder.h"
#include "io/store/record_store.h"

namespace deda::diffusion {

// What the CDPs of one class are generated with.
struct ClassPrompt {
  std::string prompt;           // "a photo of a <class-0003>"
  std::string placeholder;      // of the learnt identifier; empty with class names
  std::vector<at::Tensor> ids;  // per text encoder [1, tokens]
  std::vector<at::Tensor>
      rows;             // per text encoder, the learnt rows of the added tokens; empty with class names
  TextCondition text;   // one row
  std::string missing;  // why the class has none; then all else is empty
};
// The prompt with the class's name for {token}: generation without inversion.
std::vector<ClassPrompt> prompts_of_names(const DiffusionModel& model, const std::string& prompt,
                                          const std::vector<std::string>& class_names);
// The prompt with what `deda invert` learnt; a class without an identifier says why in `missing`.
std::vector<ClassPrompt> prompts_of_identifiers(const DiffusionModel& model, const std::string& prompt,
                                                const Identifiers& identifiers);

struct GeneratorSettings {
  GenerateConfig generate;
  double strength = 0.4;
  std::int64_t resolution = 0;
  TransparencyChoice transparency;
  std::uint64_t seed = 1;
};

struct CdpToEdit {
  FramedCdp framed;
  std::size_t class_id = 0;
  std::string source;  // path of its picture: its noise follows from it
};

struct EditedCopy {
  std::int32_t copy = 0;  // 1..K
  std::uint64_t seed = 0;
  io::Outcome outcome = io::Outcome::done;  // done, rejected or failed
  std::string reason;
  io::Image decoded, square;  // [R, R, 4] as decoded; with its alpha cleaned. Empty when failed
  SilhouetteChange change;    // of `square` against the source
};

// All tensors of one unit, for traces: rows are copies, CDP by CDP.
struct EditRecord {
  EncodedCdps encoded;  // a row per CDP
  at::Tensor noise;     // [N, 4, r, r], as everything below
  RecordedSteps edited;
  DecodedCdps decoded;
  at::Tensor final_latents;
};

class Generator {
 public:
  // ConfigError when strength, steps or resolution do not fit the model.
  Generator(std::shared_ptr<const DiffusionModel> model, GeneratorSettings settings,
            std::vector<ClassPrompt> prompts);

  // Copies 1..K of every CDP, [cdps][K]; a pure function of its arguments and of the order of the CDPs in the
  // batch (rounding). The first copies are the same bytes for every K. Numbers that are not finite make a
  // copy failed. Safe from many threads.
  std::vector<std::vector<EditedCopy>> edit(const std::vector<CdpToEdit>& cdps,
                                            EditRecord* record = nullptr) const;

  // The work of a unit of `cdps` CDPs on made-up latents, to see what memory it takes.
  void rehearse(std::size_t cdps) const;

  const DiffusionModel& model() const { return *model_; }
  const LatentEditor& editor() const { return editor_; }
  const GeneratorSettings& settings() const { return settings_; }
  const ClassPrompt& prompt_of(std::size_t class_id) const { return prompts_.at(class_id); }

 private:
  EncodedCdps encode(const std::vector<CdpToEdit>& cdps) const;
  DecodedCdps decode(const at::Tensor& latents) const;
  EditedCopy finish_copy(const CdpToEdit& cdp, std::int32_t number, std::uint64_t seed,
                         const at::Tensor& latent, const at::Tensor& argb) const;

  std::shared_ptr<const DiffusionModel> model_;
  GeneratorSettings settings_;
  std::vector<ClassPrompt> prompts_;
  LatentEditor editor_;
};

// A copy back in the source picture's frame: the store's record, or nothing and copy.outcome says why.
std::optional<io::Record> record_of_copy(EditedCopy& copy, const CdpToEdit& cdp, std::int64_t item,
                                         double strength);

}  // namespace deda::diffusion
