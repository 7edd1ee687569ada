// Settings of the peer methods: each method lists its keys, and its section of the configuration,
// [augment.NAME], comes from that list.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/config.h"

namespace deda::mixing {

class Method;

struct Key {
  enum class Kind : std::uint8_t { real, whole, flag };
  std::string_view name, help;
  double standard = 0;  // flags: 0 or 1
  double min = 0, max = 0;
  Kind kind = Kind::real;
};

// One method's values.
class Settings {
 public:
  explicit Settings(const Method& method);
  const Method& method() const { return *method_; }
  // std::logic_error for a key that the method does not have.
  double operator[](std::string_view key) const;
  std::int64_t whole(std::string_view key) const;
  bool flag(std::string_view key) const { return (*this)[key] != 0; }
  bool has(std::string_view key) const;
  void set(std::string_view key, double value);
  void describe(ConfigVisitor& visitor);

 private:
  std::size_t place_of(std::string_view key) const;
  const Method* method_;
  std::vector<double> values_;  // in the order of the method's keys
};

// Which method is chosen, if any, and the settings of all.
struct MixingConfig {
  MixingConfig();
  std::vector<Settings> methods;  // in the order of mixing::methods()
  int chosen = -1;                // -1: none
  std::size_t mixed = 0;          // what is mixed: place in augment.mixed_samples, 0: natural pictures

  // Settings of the chosen method; null where there is none.
  const Settings* active() const { return chosen < 0 ? nullptr : &methods[static_cast<std::size_t>(chosen)]; }
  void describe_sections(ConfigVisitor& visitor);
};

}  // namespace deda::mixing
