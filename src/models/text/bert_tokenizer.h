// BERT's WordPiece as transformers' BertTokenizer computes it (tokenizers' BertNormalizer, BertPreTokenizer
// and WordPiece): control characters dropped, CJK characters set apart, accents stripped (NFD without Mn),
// lower case, punctuation set apart, longest piece first, "##" before pieces that go on. Any vocabulary size.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace deda::models {

class BertTokenizer {
 public:
  // A tokenizer folder: vocab.txt, or tokenizer.json where there is none, and tokenizer_config.json where it
  // is there; or a vocab.txt itself. DataError lists what is missing or broken.
  static BertTokenizer from_folder(const std::filesystem::path& folder_or_vocabulary);
  ~BertTokenizer();
  BertTokenizer(BertTokenizer&&) noexcept;

  // [CLS], pieces, [SEP]; never cut. Special tokens written out ("[SEP]") are themselves. Invalid UTF-8 is
  // passed over, never fatal.
  std::vector<std::int64_t> encode(std::string_view text) const;
  // Pieces joined to words, blanks before . , ! ? left out; special tokens are kept, ids outside of the
  // vocabulary passed over.
  std::string decode(const std::vector<std::int64_t>& ids) const;
  std::int64_t size() const;
  std::int64_t pad_id() const;

 private:
  struct State;
  explicit BertTokenizer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace deda::models
