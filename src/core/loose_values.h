// Values as people type them behind --set, where TOML's rules and the shell's quotes get in the way: `yes`,
// `1e3`, `a,b`, `[annotated]`, `~/pictures`. Taken where only one meaning is possible. Internal to src/core.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace deda::loose {

// Without blanks around, and without one pair of quotes.
std::string bare(std::string_view text);

// true, yes, on, 1 and their opposites, in any case.
std::optional<bool> boolean(std::string_view text);
// A whole number, also as 1e3 or 10.0.
std::optional<std::int64_t> integer(std::string_view text);
// A number, also as .5, 5. or +5.
std::optional<double> number(std::string_view text);
// What was meant by something like "0,5", "1,000" or "50 %", as a number to suggest; empty where it is none.
std::string suggested_number(std::string_view text);
// `[a, b]` or `a, b`, each element bare; commas between quotes do not separate.
std::vector<std::string> list(std::string_view text);

// `path`, or with HOME in the place of a `~` at its beginning. nullopt where HOME is not set, or for `~name`.
std::optional<std::filesystem::path> with_home(const std::filesystem::path& path);

}  // namespace deda::loose
