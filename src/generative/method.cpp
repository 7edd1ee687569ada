#include "generative/method.h"

namespace deda::generative {

const std::array<MethodFacts, method_count>& methods() {
  static constexpr std::array<MethodFacts, method_count> table{{
      {.name = "real-guidance",
       .title = "Real-Guidance",
       .help = "Edits by the class's name, at a low strength, those kept that CLIP knows (He et al., ICLR "
               "2023; on Stable "
               "Diffusion as later papers run it)"},
      {.name = "da-fusion",
       .title = "DA-Fusion",
       .help = "Edits by a word learnt per class, at strengths from a quarter to all (Trabucco et al., ICLR "
               "2024)",
       .words = Words::identifier},
      {.name = "diff-mix",
       .title = "Diff-Mix",
       .help =
           "Edits of pictures into other classes by a tuned model, labels shared (Wang et al., CVPR 2024)",
       .words = Words::tuned_identifier,
       .target = Target::any_class},
      {.name = "diffusemix",
       .title = "DiffuseMix",
       .help = "Half of each picture restyled by an instruction, a fractal over it (Islam et al., CVPR 2024)",
       .words = Words::instruction,
       .editing = Editing::instructed,
       .blends = true},
  }};
  return table;
}

const MethodFacts& facts_of(Method method) {
  return methods().at(static_cast<std::size_t>(method));
}

std::optional<Method> method_named(std::string_view name) {
  for (std::size_t i = 0; i < method_count; ++i) {
    if (methods()[i].name == name) return static_cast<Method>(i);
  }
  return std::nullopt;
}

}  // namespace deda::generative
