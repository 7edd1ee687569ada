#include "models/text/clip_tokenizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <unordered_map>

#include "core/error.h"
#include "core/files.h"
#include "models/text/unicode_text.h"

namespace deda::models {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

const std::string start_token = "<|startoftext|>", end_token = "<|endoftext|>", word_end = "</w>";
constexpr std::uint64_t most_bytes = 64u << 20;
constexpr std::int64_t default_length = 77;

// The printable stand-ins of the 256 bytes, in the order of their ids: 33..126, 161..172, 174..255 as they
// are, the other 68 from code point 256 on.
struct ByteSymbols {
  std::array<std::string, 256> of_byte;
  std::vector<std::string> in_id_order;
  ByteSymbols() {
    std::vector<int> own, other;
    for (int byte = 0; byte < 256; ++byte) {
      const bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
      (printable ? own : other).push_back(byte);
    }
    for (const int byte : own) of_byte[static_cast<std::size_t>(byte)] = utf8(byte);
    for (std::size_t i = 0; i < other.size(); ++i)
      of_byte[static_cast<std::size_t>(other[i])] = utf8(256 + static_cast<int>(i));
    for (const auto& list : {own, other}) {
      for (const int byte : list) in_id_order.push_back(of_byte[static_cast<std::size_t>(byte)]);
    }
  }
};
const ByteSymbols& byte_symbols() {
  static const ByteSymbols symbols;
  return symbols;
}

bool is_letter(utf8proc_int32_t code) {
  const auto category = utf8proc_category(code);
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}
bool is_number(utf8proc_int32_t code) {
  const auto category = utf8proc_category(code);
  return category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO;
}
bool is_blank(utf8proc_int32_t code) {
  const auto category = utf8proc_category(code);
  return (code >= 9 && code <= 13) || code == 133 ||
         (category >= UTF8PROC_CATEGORY_ZS && category <= UTF8PROC_CATEGORY_ZP);
}

// As the Rust library under transformers does, letter by letter: no final sigma; İ becomes i and a dot above.
std::vector<utf8proc_int32_t> lower(const std::vector<utf8proc_int32_t>& text) {
  constexpr utf8proc_int32_t dotted_capital_i = 0x130, dot_above = 0x307;
  std::vector<utf8proc_int32_t> out;
  for (const auto code : text) {
    if (code == dotted_capital_i) {
      out.insert(out.end(), {'i', dot_above});
    } else {
      out.push_back(utf8proc_tolower(code));
    }
  }
  return out;
}

// Composed (NFC), lower case.
std::vector<utf8proc_int32_t> normalised(std::string_view text) {
  // Cleaned of invalid bytes first: utf8proc_map would give up on them.
  std::string clean;
  for (const auto code : code_points(text)) clean += utf8(code);
  utf8proc_uint8_t* composed = nullptr;
  const auto length = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(clean.data()),
                                   static_cast<utf8proc_ssize_t>(clean.size()), &composed,
                                   static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  std::vector<utf8proc_int32_t> codes;
  if (length >= 0)
    codes = code_points({reinterpret_cast<const char*>(composed), static_cast<std::size_t>(length)});
  free(composed);
  return lower(codes);
}

// 's 't 're 've 'm 'll 'd | letters | one number | the rest without blanks.
std::vector<std::string> words_of(const std::vector<utf8proc_int32_t>& text) {
  static const std::vector<std::string> endings{"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
  std::vector<std::string> words;
  const auto ending_at = [&](std::size_t at) -> std::size_t {
    for (const auto& ending : endings) {
      bool same = at + ending.size() <= text.size();
      for (std::size_t i = 0; same && i < ending.size(); ++i) same = text[at + i] == ending[i];
      if (same) return ending.size();
    }
    return 0;
  };
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at;
    if (is_blank(text[at])) {
      ++at;
      continue;
    }
    if (const auto length = ending_at(at); length > 0) {
      end = at + length;
    } else if (is_letter(text[at])) {
      while (end < text.size() && is_letter(text[end])) ++end;
    } else if (is_number(text[at])) {
      end = at + 1;
    } else {
      while (end < text.size() && !is_blank(text[end]) && !is_letter(text[end]) && !is_number(text[end]))
        ++end;
    }
    std::string word;
    for (; at < end; ++at) word += utf8(text[at]);
    words.push_back(std::move(word));
  }
  return words;
}

// Every occurrence of the pair, from the left, made one symbol.
std::vector<std::string> merged(const std::vector<std::string>& symbols, const std::string& left,
                                const std::string& right) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < symbols.size(); ++i) {
    const bool pair = i + 1 < symbols.size() && symbols[i] == left && symbols[i + 1] == right;
    out.push_back(pair ? left + right : symbols[i]);
    i += pair ? 1 : 0;
  }
  return out;
}

std::string utf8(const std::vector<utf8proc_int32_t>& codes) {
  std::string text;
  for (const auto code : codes) text += models::utf8(code);
  return text;
}

}  // namespace

struct ClipTokenizer::State {
  std::unordered_map<std::string, std::int64_t> ids;        // of symbols
  std::unordered_map<std::string, std::size_t> ranks;       // of "a b"
  std::vector<std::pair<std::string, std::int64_t>> added;  // normalised; longest first
  std::int64_t vocabulary = 0, start = 0, end = 0, pad = 0, length = default_length;

  void encode_word(const std::string& word, std::vector<std::int64_t>& out) const {
    std::vector<std::string> symbols;
    for (const char byte : word) symbols.push_back(byte_symbols().of_byte[static_cast<std::uint8_t>(byte)]);
    symbols.back() += word_end;
    while (symbols.size() > 1) {
      std::size_t best = SIZE_MAX;
      std::string left, right;
      for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
        const auto found = ranks.find(symbols[i] + " " + symbols[i + 1]);
        if (found != ranks.end() && found->second < best) {
          best = found->second;
          left = symbols[i];
          right = symbols[i + 1];
        }
      }
      if (best == SIZE_MAX) break;
      symbols = merged(symbols, left, right);
    }
    for (const auto& symbol : symbols) {
      const auto found = ids.find(symbol);
      out.push_back(found != ids.end() ? found->second
                                       : end);  // transformers: the unknown token is the end token
    }
  }

  // Normalised text: placeholders are cut out of it wherever they stand, inside of words too.
  void encode_piece(const std::string& text, std::vector<std::int64_t>& out) const {
    for (std::size_t at = 0; at < text.size();) {
      std::size_t next = text.size(), matched = 0;
      std::int64_t id = 0;
      for (const auto& [placeholder, its_id] : added) {
        const auto found = text.find(placeholder, at);
        if (found < next) {  // the longest of those that begin at one place comes first in the list
          next = found;
          matched = placeholder.size();
          id = its_id;
        }
      }
      for (const auto& word : words_of(code_points(std::string_view{text}.substr(at, next - at))))
        encode_word(word, out);
      if (matched == 0) return;
      out.push_back(id);
      at = next + matched;
    }
  }
};

ClipTokenizer::ClipTokenizer(std::unique_ptr<State> state) : state_{std::move(state)} {}
ClipTokenizer::~ClipTokenizer() = default;
ClipTokenizer::ClipTokenizer(const ClipTokenizer& other) : state_{std::make_unique<State>(*other.state_)} {}

ClipTokenizer ClipTokenizer::from_folder(const fs::path& folder) {
  auto state = std::make_unique<State>();
  std::vector<Problem> problems;
  const auto collect = [&](const fs::path& file, const auto& work) {
    try {
      work(file);
    } catch (const Error& error) {
      problems.insert(problems.end(), error.problems().begin(), error.problems().end());
    } catch (const Json::exception& error) {
      problems.push_back({"is not the JSON of a tokenizer: " + std::string{error.what()}, file.string(), {}});
    }
  };
  collect(folder / "vocab.json", [&](const fs::path& file) {
    const auto json = Json::parse(read_text(file, most_bytes));
    for (const auto& [symbol, id] : json.items()) state->ids.emplace(symbol, id.get<std::int64_t>());
    std::set<std::int64_t> seen;
    for (const auto& [symbol, id] : state->ids) seen.insert(id);
    state->vocabulary = static_cast<std::int64_t>(state->ids.size());
    if (seen.size() != state->ids.size() ||
        (!seen.empty() && (*seen.begin() != 0 || *seen.rbegin() != state->vocabulary - 1)))
      problems.push_back(
          {"does not number its symbols 0.." + std::to_string(state->vocabulary - 1), file.string(), {}});
    for (const auto* token : {&start_token, &end_token}) {
      if (state->ids.count(*token) == 0) problems.push_back({"lacks the token " + *token, file.string(), {}});
    }
  });
  collect(folder / "merges.txt", [&](const fs::path& file) {
    const auto text = read_text(file, most_bytes);
    // OpenAI's file goes on behind CLIP's merges: what is no symbol of the vocabulary is not used.
    std::size_t line_number = 0;
    for (std::size_t at = 0; at < text.size(); ++line_number) {
      auto end = text.find('\n', at);
      if (end == std::string::npos) end = text.size();
      auto line = text.substr(at, end - at);
      at = end + 1;
      if (!line.empty() && line.back() == '\r') line.pop_back();
      if (line.empty() || (line_number == 0 && line.find("#version") != std::string::npos)) continue;
      const auto blank = line.find(' ');
      if (blank == std::string::npos || line.find(' ', blank + 1) != std::string::npos) {
        problems.push_back({"is no pair of symbols: \"" + line.substr(0, 40) + "\"",
                            file.string() + ":" + std::to_string(line_number + 1),
                            {}});
        if (problems.size() > 20) return;
        continue;
      }
      if (state->ids.count(line.substr(0, blank) + line.substr(blank + 1)) != 0)
        state->ranks.emplace(line, state->ranks.size());
    }
  });
  std::string pad = end_token;
  const auto token_text = [](const Json& token) {
    return token.is_object() ? token.value("content", std::string{}) : token.get<std::string>();
  };
  for (const char* name : {"special_tokens_map.json", "tokenizer_config.json"}) {
    if (!fs::exists(folder / name)) continue;
    collect(folder / name, [&](const fs::path& file) {
      const auto json = Json::parse(read_text(file, most_bytes));
      if (json.contains("pad_token") && !json["pad_token"].is_null()) pad = token_text(json["pad_token"]);
      constexpr std::int64_t longest = 4096;
      if (json.contains("model_max_length") && json["model_max_length"].is_number_integer() &&
          json["model_max_length"].get<std::int64_t>() <= longest)
        state->length = std::max<std::int64_t>(2, json["model_max_length"].get<std::int64_t>());
    });
  }
  if (problems.empty()) {
    state->start = state->ids.at(start_token);
    state->end = state->ids.at(end_token);
    if (const auto found = state->ids.find(pad); found != state->ids.end()) {
      state->pad = found->second;
    } else {
      problems.push_back(
          {"names the padding token \"" + pad + "\", which vocab.json does not have", folder.string(), {}});
    }
  }
  if (!problems.empty()) throw DataError(std::move(problems));
  return ClipTokenizer(std::move(state));
}

std::vector<std::int64_t> ClipTokenizer::tokens(std::string_view text) const {
  std::vector<std::int64_t> out;
  // The two special tokens are cut out as they stand, before anything else.
  for (std::size_t at = 0; at < text.size();) {
    std::size_t next = text.size();
    const std::string* special = nullptr;
    for (const auto* token : {&start_token, &end_token}) {
      const auto found = text.find(*token, at);
      if (found < next) {
        next = found;
        special = token;
      }
    }
    state_->encode_piece(utf8(normalised(text.substr(at, next - at))), out);
    if (special == nullptr) break;
    out.push_back(special == &start_token ? state_->start : state_->end);
    at = next + special->size();
  }
  return out;
}

std::vector<std::int64_t> ClipTokenizer::encode(std::string_view text) const {
  auto ids = tokens(text);
  const auto room = static_cast<std::size_t>(state_->length - 2);
  if (ids.size() > room) ids.resize(room);
  ids.insert(ids.begin(), state_->start);
  ids.push_back(state_->end);
  return ids;
}

std::vector<std::int64_t> ClipTokenizer::encode_padded(std::string_view text) const {
  auto ids = encode(text);
  ids.resize(static_cast<std::size_t>(state_->length), state_->pad);
  return ids;
}

std::int64_t ClipTokenizer::add_token(const std::string& placeholder) {
  const auto name = utf8(normalised(placeholder));
  if (name.empty()) throw ConfigError("a placeholder must not be empty");
  bool known = state_->ids.count(placeholder) != 0;
  for (const auto& [other, id] : state_->added) known = known || other == name;
  if (known)
    throw ConfigError("the placeholder \"" + placeholder + "\" is known already (case does not count)", {},
                      "Choose another name.");
  const auto id = size();
  state_->added.emplace_back(name, id);
  std::stable_sort(state_->added.begin(), state_->added.end(),
                   [](const auto& a, const auto& b) { return a.first.size() > b.first.size(); });
  return id;
}

std::int64_t ClipTokenizer::size() const {
  return state_->vocabulary + static_cast<std::int64_t>(state_->added.size());
}
std::int64_t ClipTokenizer::vocabulary() const {
  return state_->vocabulary;
}
std::int64_t ClipTokenizer::start_id() const {
  return state_->start;
}
std::int64_t ClipTokenizer::end_id() const {
  return state_->end;
}
std::int64_t ClipTokenizer::pad_id() const {
  return state_->pad;
}
std::int64_t ClipTokenizer::max_length() const {
  return state_->length;
}

void write_word_tokenizer(const fs::path& folder, const std::vector<std::string>& words,
                          std::int64_t max_length) {
  std::vector<std::string> symbols = byte_symbols().in_id_order;
  for (const auto& symbol : byte_symbols().in_id_order) symbols.push_back(symbol + word_end);
  // Byte-pair encoding learnt on the words themselves, until each is one symbol (ties: the first in order).
  std::vector<std::vector<std::string>> parts;
  for (const auto& word : words) {
    if (word.empty()) continue;
    parts.emplace_back();
    for (const char byte : word)
      parts.back().push_back(byte_symbols().of_byte[static_cast<std::uint8_t>(byte)]);
    parts.back().back() += word_end;
  }
  std::string merges = "#version: 0.2\n";
  for (;;) {
    std::map<std::pair<std::string, std::string>, std::int64_t> counts;
    for (const auto& word : parts) {
      for (std::size_t i = 0; i + 1 < word.size(); ++i) ++counts[{word[i], word[i + 1]}];
    }
    if (counts.empty()) break;
    const auto best = std::max_element(counts.begin(), counts.end(), [](const auto& a, const auto& b) {
                        return a.second < b.second;
                      })->first;
    symbols.push_back(best.first + best.second);
    merges += best.first + " " + best.second + "\n";
    for (auto& word : parts) word = merged(word, best.first, best.second);
  }
  symbols.insert(symbols.end(), {start_token, end_token});
  Json vocabulary = Json::object();
  for (std::size_t i = 0; i < symbols.size(); ++i) vocabulary[symbols[i]] = i;
  const Json special{{"bos_token", start_token},
                     {"eos_token", end_token},
                     {"pad_token", end_token},
                     {"unk_token", end_token}};
  Json config = special;
  config["tokenizer_class"] = "CLIPTokenizer";
  config["model_max_length"] = max_length;
  config["do_lower_case"] = true;
  make_folder(folder);
  write_atomically(folder / "vocab.json", vocabulary.dump() + "\n");
  write_atomically(folder / "merges.txt", merges);
  write_atomically(folder / "special_tokens_map.json", special.dump(1) + "\n");
  write_atomically(folder / "tokenizer_config.json", config.dump(1) + "\n");
}

}  // namespace deda::models
