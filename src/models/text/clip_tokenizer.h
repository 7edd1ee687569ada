// CLIP's byte-level BPE as CLIPTokenizer of transformers 5 computes it: NFC, blanks collapsed, full Unicode
// lower case, words cut by \p{L}, \p{N} (one digit a token), merges by rank, "</w>" at the end of a word. Any
// vocabulary size, so that the toy model's small one works as CLIP's 49,408.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace deda::models {

class ClipTokenizer {
 public:
  // A tokenizer folder of a model: vocab.json, merges.txt, and where they are there tokenizer_config.json and
  // special_tokens_map.json, which tell the padding token (SD1.5 the end token, SDXL's second encoder "!")
  // and the length. DataError lists what is missing or broken.
  static ClipTokenizer from_folder(const std::filesystem::path& folder);
  ~ClipTokenizer();
  ClipTokenizer(const ClipTokenizer&);
  ClipTokenizer& operator=(const ClipTokenizer&) = delete;

  std::vector<std::int64_t> tokens(std::string_view text) const;  // neither start nor end
  // Start, tokens, end; cut to max_length() with the end last. Invalid UTF-8 is replaced, never fatal.
  std::vector<std::int64_t> encode(std::string_view text) const;
  std::vector<std::int64_t> encode_padded(std::string_view text) const;  // max_length() ids

  // A placeholder of its own id, size() before the call; found in texts whatever its case, inside of words
  // too. ConfigError when it is known already or differs from another in case only.
  std::int64_t add_token(const std::string& placeholder);
  std::int64_t size() const;        // vocabulary and added tokens
  std::int64_t vocabulary() const;  // without added tokens
  std::int64_t start_id() const;
  std::int64_t end_id() const;
  std::int64_t pad_id() const;
  std::int64_t max_length() const;

 private:
  struct State;
  explicit ClipTokenizer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// The files of a tokenizer whose words are one token each: bytes, merges that build every word from the left,
// start and end token. For models trained by this project. Any text can still be encoded, by bytes.
void write_word_tokenizer(const std::filesystem::path& folder, const std::vector<std::string>& words,
                          std::int64_t max_length);

}  // namespace deda::models
