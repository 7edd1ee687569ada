// The generative peers: methods that add edited whole pictures to the training set, where De-DA edits cut-out
// objects. What they are, in one table; how they are run is a configuration of the same editor
// (src/diffusion/whole). No Torch.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace deda::generative {

// What tells the model which class a picture is of.
enum class Words : std::uint8_t {
  class_name,        // the class's name in the prompt
  identifier,        // a word learnt from the class's whole pictures, over all timesteps (textual inversion)
  tuned_identifier,  // a word learnt together with a LoRA of the UNet
  instruction,       // nothing: prompts say how the picture should look, whatever it shows
};

// How a picture is edited.
enum class Editing : std::uint8_t {
  noised,      // SDEdit: noise up to a strength, then away under the prompt
  instructed,  // InstructPix2Pix: from pure noise, with the picture beside it
};

// What a picture is edited into.
enum class Target : std::uint8_t {
  own_class,  // copies of each picture
  any_class,  // pairs of classes drawn anew for every edit, labels shared between both
};

struct MethodFacts {
  std::string_view name;   // value of augment.method; its sections are [generate.NAME] and [augment.NAME]
  std::string_view title;  // in tables
  std::string_view help;   // with the source
  Words words = Words::class_name;
  Editing editing = Editing::noised;
  Target target = Target::own_class;
  bool blends = false;  // the edit is joined with its source and a fractal (DiffuseMix)
};

inline constexpr std::size_t method_count = 4;
enum class Method : std::uint8_t { real_guidance, da_fusion, diff_mix, diffusemix };

const std::array<MethodFacts, method_count>& methods();
const MethodFacts& facts_of(Method method);
std::optional<Method> method_named(std::string_view name);

}  // namespace deda::generative
