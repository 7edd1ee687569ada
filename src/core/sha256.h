// SHA-256 (FIPS 180-4), to recognise published weight files by the sums that their repositories state.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace deda {

// 64 lower-case hexadecimal digits.
std::string sha256_hex(std::string_view bytes);
// Of a whole file, read in pieces; IoError when it cannot be read.
std::string sha256_of_file(const std::filesystem::path& path);

}  // namespace deda
