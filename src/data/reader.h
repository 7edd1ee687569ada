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
#include "data/folder_listing.h"

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

  void problem(Problem problem);
  void problem(std::string what, std::string where, std::string hint = {});
  // The file must be there (unless options.check_files is off); `listed` is file:line of the list that names
  // it.
  void require_file(const std::string& relative, const std::string& listed);
  bool exists(const std::string& relative) const;
  // A picture's path as a list names it, below `folder` ("images/", or empty): backslashes become '/' where
  // the file is not there as written (told once in a note). Absolute paths are a problem.
  std::string listed_path(const std::string& folder, std::string name, const std::string& listed);
  // False, and a problem, for a box without pixels: swapped corners, no area, not a number.
  bool check_box(const std::array<double, 4>& box, const std::string& listed);
  // What is unusual at one place of a file; finish() makes one note of all places with the same text.
  void note_at(const std::string& what, const std::string& where);
  // Pictures of `folder` (any depth) that no item names are told in a note.
  void note_unlisted(const std::string& folder);
  // Throws DataError with the first 20 problems and their number; also when there is no item. Classes without
  // any picture, or without one for training, are told in notes.
  void finish();

 private:
  void note_classes();

  std::vector<Problem> problems_;
  std::size_t problem_count_ = 0;
  std::map<std::string, std::vector<std::string>> places_;  // of note_at
};

// A folder or file of a listing that cannot be read, as a problem of the dataset.
Problem unreadable(const std::filesystem::path& folder, const std::string& name, const std::string& reason);
// Pictures below `folder` (folder_listing.h), relative to it; empty if it is no folder. DataError where a
// folder cannot be read.
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
