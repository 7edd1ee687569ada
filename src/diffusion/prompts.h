// The texts that identifiers are learnt in and pictures are made with. The 27 templates are those of the
// textual-inversion script of diffusers (examples/textual_inversion/textual_inversion.py,
// imagenet_templates_small); the generation prompt is the paper's (section 3.2.2). No Torch.
#pragma once

#include <string>
#include <vector>

namespace deda::diffusion {

enum class TemplateSet : std::uint8_t { objects, photo };  // all 27, or "a photo of a {}" alone

const std::vector<std::string>& prompt_templates(TemplateSet set);
// Puts `name` for "{}" (and for "{token}").
std::string fill_template(const std::string& text, const std::string& name);

// Lower-case, unique without regard to case, no prefix of another: "<class-0012>".
std::string placeholder_of_class(std::size_t class_id);

}  // namespace deda::diffusion
