#include "io/formats/matlab_file.h"

#include <matio.h>

#include <memory>

#include "core/error.h"

namespace deda::io {

namespace {

struct CloseFile {
  void operator()(mat_t* file) const { Mat_Close(file); }
};
struct FreeVariable {
  void operator()(matvar_t* variable) const { Mat_VarFree(variable); }
};
using Variable = std::unique_ptr<matvar_t, FreeVariable>;

constexpr std::size_t max_elements = 10'000'000;

void be_silent(int, char*) {}

Variable read_variable(const std::filesystem::path& path, const std::string& name) {
  if (!std::filesystem::is_regular_file(path)) throw DataError("is missing", path.string());
  Mat_LogInitFunc("deda", be_silent);
  const std::unique_ptr<mat_t, CloseFile> file{Mat_Open(path.c_str(), MAT_ACC_RDONLY)};
  if (!file)
    throw DataError("is no MATLAB file or is broken", path.string(), "Copy or download the file again.");
  Variable variable{Mat_VarRead(file.get(), name.c_str())};
  if (!variable) throw DataError("holds no readable variable \"" + name + "\"", path.string());
  return variable;
}

std::size_t element_count(const matvar_t& variable, const std::filesystem::path& path) {
  std::size_t count = variable.rank > 0 ? 1 : 0;
  for (int i = 0; i < variable.rank; ++i) {
    if (variable.dims[i] != 0 && count > max_elements / variable.dims[i])
      throw DataError("claims too many elements", path.string());
    count *= variable.dims[i];
  }
  return count;
}

// A text or a numeric scalar; anything else is refused.
bool read_value(const matvar_t* variable, MatlabValue& value) {
  if (variable == nullptr || variable->data == nullptr || variable->nbytes == 0) return false;
  const std::size_t elements =
      variable->data_size > 0 ? variable->nbytes / static_cast<std::size_t>(variable->data_size) : 0;
  if (elements == 0) return false;
  if (variable->class_type == MAT_C_CHAR) {
    std::string text;
    for (std::size_t i = 0; i < elements; ++i) {
      // matio keeps characters as UTF-8 bytes or as UTF-16 units; file names are ASCII.
      text += variable->data_size == 2
                  ? static_cast<char>(static_cast<const std::uint16_t*>(variable->data)[i])
                  : static_cast<const char*>(variable->data)[i];
    }
    value = text;
    return true;
  }
  const void* data = variable->data;
  switch (variable->data_type) {
    case MAT_T_DOUBLE:
      value = *static_cast<const double*>(data);
      return true;
    case MAT_T_SINGLE:
      value = static_cast<double>(*static_cast<const float*>(data));
      return true;
    case MAT_T_INT8:
      value = static_cast<double>(*static_cast<const std::int8_t*>(data));
      return true;
    case MAT_T_UINT8:
      value = static_cast<double>(*static_cast<const std::uint8_t*>(data));
      return true;
    case MAT_T_INT16:
      value = static_cast<double>(*static_cast<const std::int16_t*>(data));
      return true;
    case MAT_T_UINT16:
      value = static_cast<double>(*static_cast<const std::uint16_t*>(data));
      return true;
    case MAT_T_INT32:
      value = static_cast<double>(*static_cast<const std::int32_t*>(data));
      return true;
    case MAT_T_UINT32:
      value = static_cast<double>(*static_cast<const std::uint32_t*>(data));
      return true;
    default:
      return false;
  }
}

}  // namespace

std::vector<std::map<std::string, MatlabValue>> read_matlab_struct_array(const std::filesystem::path& path,
                                                                         const std::string& name) {
  const Variable variable = read_variable(path, name);
  if (variable->class_type != MAT_C_STRUCT)
    throw DataError("variable \"" + name + "\" is no struct array", path.string());
  const std::size_t count = element_count(*variable, path);
  const unsigned fields = Mat_VarGetNumberOfFields(variable.get());
  char* const* names = Mat_VarGetStructFieldnames(variable.get());
  if (fields == 0 || names == nullptr || variable->data == nullptr ||
      variable->nbytes < count * fields * sizeof(matvar_t*)) {
    throw DataError("variable \"" + name + "\" is damaged", path.string());
  }
  std::vector<std::map<std::string, MatlabValue>> rows(count);
  for (std::size_t element = 0; element < count; ++element) {
    for (unsigned field = 0; field < fields; ++field) {
      MatlabValue value;
      if (!read_value(static_cast<matvar_t**>(variable->data)[element * fields + field], value)) {
        throw DataError("variable \"" + name + "\", element " + std::to_string(element + 1) + ": field \"" +
                            names[field] + "\" is neither a number nor a text",
                        path.string());
      }
      rows[element].emplace(names[field], std::move(value));
    }
  }
  return rows;
}

std::vector<std::string> read_matlab_texts(const std::filesystem::path& path, const std::string& name) {
  const Variable variable = read_variable(path, name);
  if (variable->class_type != MAT_C_CELL || variable->data == nullptr)
    throw DataError("variable \"" + name + "\" is no cell array", path.string());
  const std::size_t count = element_count(*variable, path);
  if (variable->nbytes < count * sizeof(matvar_t*))
    throw DataError("variable \"" + name + "\" is damaged", path.string());
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < count; ++i) {
    MatlabValue value;
    if (!read_value(static_cast<matvar_t**>(variable->data)[i], value) ||
        !std::holds_alternative<std::string>(value)) {
      throw DataError("variable \"" + name + "\", element " + std::to_string(i + 1) + " is no text",
                      path.string());
    }
    texts.push_back(std::get<std::string>(std::move(value)));
  }
  return texts;
}

}  // namespace deda::io
