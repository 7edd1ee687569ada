// What the readers of src/data/readers share: a list of problems that is reported whole, and checks that many
// need.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/error.h"
#include "data/dataset.h"

namespace deda::data {

// Everything a reader gets and fills.
class Reader {
 public:
  Reader(const DatasetConfig& config_, const LoadOptions& options_) : config{config_}, options{options_} {
    dataset.root = config_.root;
  }

  const DatasetConfig& config;
  const LoadOptions& options;
  Dataset dataset;
  std::vector<std::string> notes;

  void problem(std::string what, std::string where, std::string hint = {});
  // The file must be there (unless options.check_files is off); `listed` is file:line of the list that names
  // it.
  void require_file(const std::string& relative, const std::string& listed);
  bool exists(const std::string& relative) const;
  // Pictures of `folder` (any depth) that no item names are told in a note.
  void note_unlisted(const std::string& folder);
  // Throws DataError with the first 20 problems and their number; also when there is no item or a class
  // without any.
  void finish();

 private:
  std::vector<Problem> problems_;
  std::size_t problem_count_ = 0;
};

bool is_picture(const std::filesystem::path& path);  // by suffix, any case
// Files below `folder` for which is_picture holds, relative to `folder` with '/', sorted by bytes; empty if
// it is no folder.
std::vector<std::string> list_pictures(const std::filesystem::path& folder);
// 1-based inclusive corner boxes of the annotation files to 0-based half-open.
std::array<double, 4> from_one_based(double x1, double y1, double x2, double y2);

void read_image_folder(Reader& reader);
void read_oxford_pets(Reader& reader);
void read_cub_200_2011(Reader& reader);
void read_fgvc_aircraft(Reader& reader);
void read_stanford_cars(Reader& reader);
void read_pascal_voc(Reader& reader);
void read_waterbirds(Reader& reader);
void read_toy(Reader& reader);

}  // namespace deda::data
