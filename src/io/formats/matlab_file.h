// The two shapes of MATLAB 5 file that Stanford Cars needs, through matio; its types stay inside the .cpp.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <variant>
#include <vector>

namespace deda::io {

using MatlabValue = std::variant<double, std::string>;

// Struct array `variable`: one map (field -> scalar or text) per element, in order. Throws DataError naming
// file, variable and element where something is missing or of another kind.
std::vector<std::map<std::string, MatlabValue>> read_matlab_struct_array(const std::filesystem::path& path,
                                                                         const std::string& variable);
// Cell array of texts.
std::vector<std::string> read_matlab_texts(const std::filesystem::path& path, const std::string& variable);

}  // namespace deda::io
