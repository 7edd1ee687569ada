// Text files as other programs save them: Windows writes byte-order marks and UTF-16.
#pragma once

#include <string>

namespace deda::io {

// The text as UTF-8 with '\n' at line ends: byte-order marks and a closing Ctrl-Z go, UTF-16 is converted
// (surrogates that stand alone become U+FFFD), CR LF and lone CR become LF. Bytes above 127 without a mark
// stay as they are. `was_utf16`: an encoding that the text itself declares no longer holds. Throws DataError
// naming `where` for text with zero bytes (UTF-16 without a mark, or no text at all).
std::string plain_text(std::string bytes, const std::string& where, bool* was_utf16 = nullptr);

}  // namespace deda::io
