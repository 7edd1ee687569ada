// UTF-8 as code points and back, for the tokenizers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace deda::models {

std::string utf8(std::int32_t code);
// Bytes that are no UTF-8 become U+FFFD, one for each.
std::vector<std::int32_t> code_points(std::string_view text);

}  // namespace deda::models
