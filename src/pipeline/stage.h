// The stages of the method in their order, and their names.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace deda::pipeline {

enum class Stage : std::uint8_t { toy, decouple, invert, tune, generate, train };
inline constexpr std::array all_stages{Stage::toy,  Stage::decouple, Stage::invert,
                                       Stage::tune, Stage::generate, Stage::train};

// Also the subcommand that runs the stage, and the first part of its folders' names.
std::string_view name_of(Stage stage);
std::optional<Stage> stage_named(std::string_view name);

// Of what the stage computes: raised when equal settings and inputs come to give other results, so that older
// folders are made anew instead of misread.
int schema_of(Stage stage);

}  // namespace deda::pipeline
