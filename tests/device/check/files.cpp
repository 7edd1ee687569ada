// compare and same: two results, by numbers and by bytes.
#include "core/files.h"

#include <ATen/Functions.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <set>

#include "check.h"
#include "core/error.h"
#include "distance.h"
#include "models/weights/tensor_file.h"

namespace deda::check {
namespace {

namespace fs = std::filesystem;

// Names below `root`, without what differs from run to run by its nature: times in the logs of events.
std::set<std::string> files_below(const fs::path& root) {
  std::set<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    if (entry.is_regular_file() && entry.path().filename().string().rfind("events-", 0) != 0)
      names.insert(fs::relative(entry.path(), root).string());
  }
  return names;
}

bool equal_bytes(const fs::path& a, const fs::path& b) {
  if (fs::file_size(a) != fs::file_size(b)) return false;
  std::ifstream first(a, std::ios::binary), second(b, std::ios::binary);
  return std::equal(std::istreambuf_iterator<char>(first), std::istreambuf_iterator<char>(),
                    std::istreambuf_iterator<char>(second));
}

}  // namespace

json read_json(const fs::path& file) {
  return json::parse(read_text(file));
}

Distance distance(const at::Tensor& found, const at::Tensor& expected) {
  if (found.sizes() != expected.sizes()) throw DataError("shapes differ");
  const auto a = found.to(at::kCPU, at::kDouble), b = expected.to(at::kCPU, at::kDouble);
  // Networks mark columns without a token by -inf: those have to be the same ones.
  const auto finite = b.isfinite();
  if (!at::equal(a.isfinite(), finite))
    return {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::infinity()};
  const auto difference = at::where(finite, a - b, 0.0), scale = at::where(finite, b, 0.0);
  const double norm = scale.norm().item<double>();
  return {difference.norm().item<double>() / std::max(norm, 1e-30),
          difference.numel() == 0 ? 0.0 : difference.abs().max().item<double>()};
}

Outcome compare(const Arguments& arguments) {
  const auto found = models::read_tensors(arguments.required(0, "the first file")),
             expected = models::read_tensors(arguments.required(1, "the second file"));
  const double limit = std::stod(arguments.get("limit", "inf"));
  bool passed = true;
  for (const auto& [name, tensor] : expected) {
    const auto other = found.find(name);
    if (other == found.end()) {
      print({name, "missing", {}, "in both files", false});
      passed = false;
      continue;
    }
    const auto between = distance(other->second, tensor);
    const bool near = between.relative <= limit;
    passed = passed && near;
    print({name, between.relative, "relative error",
           std::isinf(limit) ? "" : fmt::format("at most {:g}", limit), near,
           fmt::format("largest error {:.3g}", between.largest)});
  }
  for (const auto& [name, tensor] : found) {
    if (expected.count(name) != 0) continue;
    print({name, "unexpected", {}, "in both files", false});
    passed = false;
  }
  return passed ? Outcome::passed : Outcome::failed;
}

Outcome same(const Arguments& arguments) {
  const fs::path a = arguments.required(0, "the first file or folder"),
                 b = arguments.required(1, "the second file or folder");
  if (fs::is_regular_file(a) && fs::is_regular_file(b)) {
    if (equal_bytes(a, b)) return Outcome::passed;
    std::printf("%s and %s differ\n", a.c_str(), b.c_str());
    return Outcome::failed;
  }
  const auto in_a = files_below(a), in_b = files_below(b);
  int different = 0;
  for (const auto& name : in_a) {
    if (in_b.count(name) == 0) {
      std::printf("only in %s: %s\n", a.c_str(), name.c_str());
      ++different;
    } else if (!equal_bytes(a / name, b / name)) {
      std::printf("differs: %s\n", name.c_str());
      ++different;
    }
  }
  for (const auto& name : in_b) {
    if (in_a.count(name) != 0) continue;
    std::printf("only in %s: %s\n", b.c_str(), name.c_str());
    ++different;
  }
  if (in_a.empty()) {
    std::printf("%s holds no file to compare\n", a.c_str());
    ++different;
  }
  return different == 0 ? Outcome::passed : Outcome::failed;
}

}  // namespace deda::check
