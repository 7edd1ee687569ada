// What an image-mixing peer method is: its name, its settings, and how a batch is mixed with it. A method is
// one file beside this one and one line in methods.cpp. No Torch: methods that look at the network's saliency
// mix in training/mixing, by the same plans.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "mixing/batch_plan.h"
#include "mixing/settings.h"

namespace deda::mixing {

// Who is mixed with whom.
enum class Partners : std::uint8_t {
  drawn,  // before any pixel is seen: a rank composes its own pictures and their partners
  found,  // by looking at the whole global batch: each rank composes all of it
};

// What a method looks at before it mixes.
enum class Saliency : std::uint8_t {
  none,
  pixels,       // of pictures alone
  gradients,    // of the loss by the picture
  activations,  // of the network's last feature maps
};

struct MethodFacts {
  std::string_view name;   // value of augment.method, and its section of [augment]
  std::string_view title;  // in tables
  std::string_view help;   // of the section, with the source
  Partners partners = Partners::drawn;
  Saliency saliency = Saliency::none;
  bool several_labels = true;       // whether it is defined where pictures have several labels
  std::int64_t smallest_batch = 1;  // pictures; a smaller last batch of an epoch stays as it is
  std::vector<Key> keys;            // defaults are upstream's
};

// A picture of the batch as the threads have composed it, [side, side, 3] RGB.
using Pixels = std::span<const std::uint8_t>;

// Memory that a thread keeps from batch to batch; what a method needs it makes on the first.
struct Scratch {
  virtual ~Scratch() = default;
};

class Method {
 public:
  virtual ~Method() = default;
  virtual const MethodFacts& facts() const = 0;
  // Everything that is decided before pixels are seen: a pure function, alike on all ranks. `size`: pictures
  // of the global batch, at least one.
  virtual BatchPlan plan(const Settings& settings, const BatchNumber& number, std::int64_t size,
                         std::int64_t side) const = 0;

  // Of methods that mix 8-bit pixels, in the composing threads (the others keep these as they are).
  virtual bool mixes_pixels() const { return false; }
  // Places of the global batch that each rank has to compose besides, because look() looks at them.
  virtual std::vector<std::uint32_t> looked_at(const BatchPlan&) const { return {}; }
  virtual std::unique_ptr<Scratch> make_scratch() const { return nullptr; }
  // Settles what depends on pixels, once per batch and rank; `pictures`: those of looked_at(), in order.
  virtual void look(const Settings&, std::span<const Pixels>, std::int64_t side, BatchPlan&, Scratch*) const {
    static_cast<void>(side);
  }
  // One mixed picture, and the weights of its labels. `mixed` is none of the others' memory.
  virtual LabelWeights mix(const Settings&, const BatchPlan&, std::int64_t side, Pixels own, Pixels partner,
                           std::span<std::uint8_t> mixed) const;
};

// All methods, in the order of their names in augment.method.
const std::vector<const Method*>& methods();

// Fisher-Yates over the places of the global batch, from the draws of the batch's partners.
std::vector<std::uint32_t> drawn_partners(const BatchNumber& number, std::int64_t size);
// Whether the batch is mixed at all: with the section's `mix_probability`, and where it is large enough.
bool is_applied(const MethodFacts& facts, const Settings& settings, const BatchNumber& number,
                std::int64_t size);
// The key that most methods have.
Key mix_probability(double standard);

}  // namespace deda::mixing
