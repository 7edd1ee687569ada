// What a result was made of, as every result keeps it (results.json, a store's manifest.json,
// identifiers.json). Written by the stages, read by reports. Keys are src/pipeline's.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace deda {

struct Provenance {
  std::string stage;                               // "train"
  std::string key;                                 // 32 hexadecimal digits: equal keys, equal results
  std::map<std::string, std::string> needs = {};   // what it was made from: stage -> key
  std::map<std::string, std::string> inputs = {};  // files and data by content: name -> digest
  std::string settings = "{}";                     // JSON: the settings with an effect on this stage, by key
  std::string configuration = "{}";                // JSON: every setting that says what is computed, resolved
  std::string code_version = {};
  std::string processor = {};  // kind of processor or device of rank 0
};

std::string to_json(const Provenance& provenance);  // one compact object
// DataError naming `where` when the text is no such object.
Provenance provenance_from(const std::string& json, const std::string& where);

}  // namespace deda
