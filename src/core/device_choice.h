// `device = "auto" | "cpu" | "cuda"`: the same choice in every section that computes.
#pragma once

#include <cstdint>

#include "core/config.h"

namespace deda {

enum class DeviceChoice : std::uint8_t { automatic, cpu, cuda };

// The key `device` of a section. Never part of a key (src/pipeline).
inline void describe_device(ConfigVisitor& v, DeviceChoice& device) {
  v.choice(
      {.key = "device", .help = "auto: a GPU of its own for every rank where there are enough, else the CPU"},
      device, {{"auto", DeviceChoice::automatic}, {"cpu", DeviceChoice::cpu}, {"cuda", DeviceChoice::cuda}});
}

}  // namespace deda
