#include "models/text/bert_tokenizer.h"

#include <utf8proc.h>

#include <array>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "core/error.h"
#include "core/files.h"
#include "models/text/unicode_text.h"

namespace deda::models {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Codes = std::vector<std::int32_t>;

constexpr std::uint64_t most_bytes = 64u << 20;
constexpr std::size_t longest_word = 100;  // characters; a longer word is unknown as a whole
constexpr std::string_view continued = "##";
enum Special : std::size_t { pad, unknown, classify, separator };
const std::array<std::string, 5> special_tokens{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};

bool is_blank(std::int32_t code) {
  const auto category = utf8proc_category(code);
  return code == '\t' || code == '\n' || code == '\r' ||
         (category >= UTF8PROC_CATEGORY_ZS && category <= UTF8PROC_CATEGORY_ZP);
}

bool is_dropped(std::int32_t code) {
  if (code == '\t' || code == '\n' || code == '\r') return false;
  const auto category = utf8proc_category(code);
  return code == 0xFFFD || category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF ||
         category == UTF8PROC_CATEGORY_CO;
}

bool is_punctuation(std::int32_t code) {
  const bool ascii = (code >= 33 && code <= 47) || (code >= 58 && code <= 64) || (code >= 91 && code <= 96) ||
                     (code >= 123 && code <= 126);
  const auto category = utf8proc_category(code);
  return ascii || (category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO);
}

bool is_cjk(std::int32_t code) {
  struct Range {
    std::int32_t first, last;
  };
  // The unified ideographs as BERT lists them. Between 0x2B820 and 0x2B91F the tokenizers library leaves a
  // gap.
  constexpr std::array<Range, 8> ranges{{{0x4E00, 0x9FFF},
                                         {0x3400, 0x4DBF},
                                         {0x20000, 0x2A6DF},
                                         {0x2A700, 0x2B73F},
                                         {0x2B740, 0x2B81F},
                                         {0x2B920, 0x2CEAF},
                                         {0xF900, 0xFAFF},
                                         {0x2F800, 0x2FA1F}}};
  for (const auto& range : ranges) {
    if (code >= range.first && code <= range.last) return true;
  }
  return false;
}

// Canonical decomposition without the non-spacing marks.
Codes without_accents(const Codes& text) {
  std::string bytes;
  for (const auto code : text) bytes += utf8(code);
  utf8proc_uint8_t* decomposed = nullptr;
  const auto length = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(bytes.data()),
                                   static_cast<utf8proc_ssize_t>(bytes.size()), &decomposed,
                                   static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE));
  Codes codes;
  if (length >= 0) {
    for (const auto code :
         code_points({reinterpret_cast<const char*>(decomposed), static_cast<std::size_t>(length)})) {
      if (utf8proc_category(code) != UTF8PROC_CATEGORY_MN) codes.push_back(code);
    }
  }
  free(decomposed);
  return codes;
}

Codes normalised(std::string_view text, bool lower_case) {
  Codes codes;
  for (const auto code : code_points(text)) {
    if (is_dropped(code)) continue;
    if (is_cjk(code)) {
      codes.insert(codes.end(), {' ', code, ' '});
    } else {
      codes.push_back(is_blank(code) ? ' ' : code);
    }
  }
  if (!lower_case) return codes;
  codes = without_accents(codes);
  for (auto& code : codes) code = utf8proc_tolower(code);
  return codes;
}

// Runs without blanks; every punctuation character is a word of its own.
std::vector<Codes> words_of(const Codes& text) {
  std::vector<Codes> words;
  bool open = false;
  for (const auto code : text) {
    if (is_blank(code)) {
      open = false;
    } else if (is_punctuation(code)) {
      words.push_back({code});
      open = false;
    } else {
      if (!open) words.emplace_back();
      words.back().push_back(code);
      open = true;
    }
  }
  return words;
}

}  // namespace

struct BertTokenizer::State {
  std::unordered_map<std::string, std::int64_t> ids;
  std::vector<std::string> tokens;  // by id
  std::array<std::int64_t, special_tokens.size()> special{};
  bool lower_case = true;

  void encode_word(const Codes& word, std::vector<std::int64_t>& out) const {
    std::vector<std::int64_t> pieces;
    for (std::size_t begin = 0; begin < word.size() && word.size() <= longest_word;) {
      std::size_t end = word.size();
      for (; end > begin; --end) {
        std::string piece{begin > 0 ? continued : std::string_view{}};
        for (std::size_t i = begin; i < end; ++i) piece += utf8(word[i]);
        if (const auto found = ids.find(piece); found != ids.end()) {
          pieces.push_back(found->second);
          break;
        }
      }
      if (end == begin) break;  // no piece fits: the whole word is unknown
      begin = end;
      if (begin == word.size()) {
        out.insert(out.end(), pieces.begin(), pieces.end());
        return;
      }
    }
    out.push_back(special[unknown]);
  }

  // Special tokens are cut out as they stand, before anything else.
  void encode_text(std::string_view text, std::vector<std::int64_t>& out) const {
    while (!text.empty()) {
      std::size_t next = text.size(), which = special_tokens.size();
      for (std::size_t i = 0; i < special_tokens.size(); ++i) {
        if (const auto found = text.find(special_tokens[i]); found < next) {
          next = found;
          which = i;
        }
      }
      for (const auto& word : words_of(normalised(text.substr(0, next), lower_case))) encode_word(word, out);
      if (which == special_tokens.size()) return;
      out.push_back(special[which]);
      text.remove_prefix(next + special_tokens[which].size());
    }
  }
};

namespace {

void read_vocabulary(const fs::path& file, std::vector<std::string>& tokens) {
  const auto text = read_text(file, most_bytes);
  for (std::size_t at = 0; at < text.size();) {
    auto end = text.find('\n', at);
    if (end == std::string::npos) end = text.size();
    auto line = text.substr(at, end - at);
    if (!line.empty() && line.back() == '\r') line.pop_back();
    tokens.push_back(std::move(line));
    at = end + 1;
  }
}

void read_tokenizer_json(const fs::path& file, std::vector<std::string>& tokens, bool& lower_case,
                         std::vector<Problem>& problems) {
  const auto json = Json::parse(read_text(file, most_bytes));
  const auto& model = json.at("model");
  if (const auto type = model.value("type", std::string{"WordPiece"}); type != "WordPiece") {
    problems.push_back({"holds a tokenizer of type " + type + ", not WordPiece", file.string(),
                        "Check which folder holds which model."});
    return;
  }
  const auto& vocabulary = model.at("vocab");
  tokens.assign(vocabulary.size(), {});
  for (const auto& [token, id] : vocabulary.items()) {
    const auto place = id.get<std::size_t>();
    if (place >= tokens.size()) {
      problems.push_back(
          {"does not number its tokens 0.." + std::to_string(tokens.size() - 1), file.string(), {}});
      return;
    }
    tokens[place] = token;
  }
  if (json.contains("normalizer") && json["normalizer"].is_object())
    lower_case = json["normalizer"].value("lowercase", lower_case);
}

void read_settings(const fs::path& file, bool& lower_case, std::vector<Problem>& problems) {
  const auto json = Json::parse(read_text(file, most_bytes));
  lower_case = json.value("do_lower_case", lower_case);
  const auto expect = [&](const char* key, bool value) {
    if (json.contains(key) && json[key].is_boolean() && json[key].get<bool>() != value)
      problems.push_back(
          {std::string{key} + " = " + json[key].dump() + " is not supported", file.string(), {}});
  };
  expect("strip_accents", lower_case);
  expect("tokenize_chinese_chars", true);
  expect("do_basic_tokenize", true);
}

}  // namespace

BertTokenizer::BertTokenizer(std::unique_ptr<State> state) : state_{std::move(state)} {}
BertTokenizer::~BertTokenizer() = default;
BertTokenizer::BertTokenizer(BertTokenizer&&) noexcept = default;

BertTokenizer BertTokenizer::from_folder(const fs::path& given) {
  auto state = std::make_unique<State>();
  std::vector<Problem> problems;
  const bool is_folder = fs::is_directory(given);
  const auto vocabulary = is_folder ? given / "vocab.txt" : given;
  const auto collect = [&](const fs::path& file, const auto& work) {
    try {
      work(file);
    } catch (const Error& error) {
      problems.insert(problems.end(), error.problems().begin(), error.problems().end());
    } catch (const Json::exception& error) {
      problems.push_back({"is not the JSON of a tokenizer: " + std::string{error.what()}, file.string(), {}});
    }
  };
  if (is_folder && !fs::exists(vocabulary) && fs::exists(given / "tokenizer.json")) {
    collect(given / "tokenizer.json", [&](const fs::path& file) {
      read_tokenizer_json(file, state->tokens, state->lower_case, problems);
    });
  } else if (!fs::exists(vocabulary)) {
    problems.push_back({is_folder ? "has neither vocab.txt nor tokenizer.json" : "does not exist",
                        given.string(), "A BERT tokenizer comes with the model's folder."});
  } else {
    collect(vocabulary, [&](const fs::path& file) { read_vocabulary(file, state->tokens); });
  }
  if (is_folder && fs::exists(given / "tokenizer_config.json")) {
    collect(given / "tokenizer_config.json",
            [&](const fs::path& file) { read_settings(file, state->lower_case, problems); });
  }
  for (std::size_t i = 0; i < state->tokens.size(); ++i)
    state->ids[state->tokens[i]] = static_cast<std::int64_t>(i);
  for (std::size_t i = 0; !state->tokens.empty() && i < special_tokens.size(); ++i) {
    const auto found = state->ids.find(special_tokens[i]);
    if (found != state->ids.end()) {
      state->special[i] = found->second;
    } else {
      problems.push_back({"the vocabulary lacks the token " + special_tokens[i], given.string(), {}});
    }
  }
  if (!problems.empty()) throw DataError(std::move(problems));
  return BertTokenizer(std::move(state));
}

std::vector<std::int64_t> BertTokenizer::encode(std::string_view text) const {
  std::vector<std::int64_t> out{state_->special[classify]};
  state_->encode_text(text, out);
  out.push_back(state_->special[separator]);
  return out;
}

std::string BertTokenizer::decode(const std::vector<std::int64_t>& ids) const {
  std::string text;
  bool first = true;
  for (const auto id : ids) {
    if (id < 0 || id >= size()) continue;
    const std::string_view token = state_->tokens[static_cast<std::size_t>(id)];
    if (!first && token.substr(0, continued.size()) == continued) {
      text += token.substr(continued.size());
      continue;
    }
    const bool joins_the_word_before =
        !token.empty() && std::string_view{".?!,"}.find(token.front()) != std::string_view::npos;
    if (!first && !joins_the_word_before) text += ' ';
    text += token;
    first = false;
  }
  return text;
}

std::int64_t BertTokenizer::size() const {
  return static_cast<std::int64_t>(state_->tokens.size());
}
std::int64_t BertTokenizer::pad_id() const {
  return state_->special[pad];
}

}  // namespace deda::models
