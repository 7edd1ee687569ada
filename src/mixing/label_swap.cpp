#include "mixing/label_swap.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <utility>
#include <vector>

#include "core/error.h"

namespace deda::mixing {
namespace {

using Cost = std::int64_t;  // multiples of the smallest step

// With costs of at most 2^46, a site's own share of a swap is below 2 (1 + 4) 2^46, and that of 4096 sites
// below 2^62.
constexpr int cost_bits = 46;

// Directions to neighbours; d ^ 2 is the way back.
constexpr int right = 0, down = 1, left = 2, up = 3, directions = 4;
constexpr int back(int direction) {
  return direction ^ 2;
}

// A whole number for |value| < 2^51; halves become even.
Cost rounded(double value) {
  constexpr double no_fraction_left = 0x1.8p52;
  return static_cast<Cost>((value + no_fraction_left) - no_fraction_left);
}

std::size_t at(int index) {
  return static_cast<std::size_t>(index);
}

// The cheapest cut of a graph whose nodes are grid sites: each goes to side alpha or beta. Augmenting paths
// from two search trees that are mended, not grown anew (Boykov and Kolmogorov 2004, "An experimental
// comparison of min-cut/max-flow algorithms for energy minimization in vision", section 3).
class GridCut {
 public:
  // What a site prefers: positive, what beta costs it more than alpha. And what it costs to be apart from its
  // neighbour by direction.
  struct Node {
    Cost preference;
    std::array<Cost, directions> apart;
  };

  // `offsets` to neighbours by direction; room for `nodes` nodes.
  void shape(int nodes, const std::array<int, directions>& offsets) {
    offsets_ = offsets;
    nodes_.assign(at(nodes), {});
    trees_.assign(at(nodes), {Side::free, no_parent, 0, 0});
    next_active_.assign(at(nodes), none);
  }

  // No edge leads from a node until it is written.
  Node& node(int index) { return nodes_[at(index)]; }
  void clear(std::span<const int> sites) {
    for (const int site : sites) {
      nodes_[at(site)] = {};
      trees_[at(site)].side = Side::free;
    }
  }

  // Afterwards on_beta is right for `sites`, and costs are used up. No edge may leave `sites`. Of several
  // cheapest cuts that with the most sites on alpha: beta is only where the beta terminal is within reach.
  void solve(std::span<const int> sites) {
    first_active_ = last_active_ = none;
    time_ = 0;
    for (const int site : sites) {
      Tree& tree = trees_[at(site)];
      const Cost preference = nodes_[at(site)].preference;
      tree = {preference > 0   ? Side::alpha
              : preference < 0 ? Side::beta
                               : Side::free,
              preference == 0 ? no_parent : terminal, 0, 1};
      next_active_[at(site)] = none;
    }
    for (const int site : sites) {
      if (trees_[at(site)].side != Side::free) activate(site);
    }
    for (int site = take_active(); site != none; site = take_active()) {
      // A site stays in work until none of its edges leads to the other tree.
      while (trees_[at(site)].side != Side::free) {
        const int direction = grow(site);
        if (direction == none) break;
        if (trees_[at(site)].side == Side::alpha)
          augment(site, direction);
        else
          augment(site + offsets_[at(direction)], back(direction));
        adopt();
      }
    }
  }

  bool on_beta(int site) const { return trees_[at(site)].side == Side::beta; }

 private:
  static constexpr int none = -1;  // no site, no direction
  static constexpr std::int8_t no_parent = -1, terminal = 4, orphan = 5;
  enum class Side : std::uint8_t { free, alpha, beta };
  struct Tree {
    Side side;
    std::int8_t parent;  // direction, or terminal, orphan, no_parent
    int time, distance;  // to the terminal, as it was at that time
  };

  int neighbour(int site, int direction) const { return site + offsets_[at(direction)]; }
  // What can still flow from a site to its neighbour.
  Cost& residual(int site, int direction) { return nodes_[at(site)].apart[at(direction)]; }
  // The same along the tree, from the alpha terminal towards the beta terminal, on the edge between a site
  // and its neighbour nearer to (parent) or farther from (child) the terminal.
  Cost& to_parent(Side side, int site, int direction) {
    return side == Side::alpha ? residual(neighbour(site, direction), back(direction))
                               : residual(site, direction);
  }
  Cost& to_child(Side side, int site, int direction) {
    return side == Side::alpha ? residual(site, direction)
                               : residual(neighbour(site, direction), back(direction));
  }

  void activate(int site) {
    if (next_active_[at(site)] != none || site == last_active_) return;
    if (last_active_ == none)
      first_active_ = site;
    else
      next_active_[at(last_active_)] = site;
    last_active_ = site;
  }
  int take_active() {
    const int site = first_active_;
    if (site == none) return none;
    first_active_ = next_active_[at(site)];
    if (first_active_ == none) last_active_ = none;
    next_active_[at(site)] = none;
    return site;
  }

  // Takes free neighbours into the tree of `site`; the direction of a neighbour in the other tree, or none.
  int grow(int site) {
    const Tree tree = trees_[at(site)];
    for (int d = 0; d < directions; ++d) {
      if (to_child(tree.side, site, d) == 0) continue;
      const int other = neighbour(site, d);
      Tree& found = trees_[at(other)];
      if (found.side == Side::free) {
        found = {tree.side, static_cast<std::int8_t>(back(d)), tree.time, tree.distance + 1};
        activate(other);
      } else if (found.side != tree.side) {
        return d;
      } else if (found.distance > tree.distance + 1 && found.time <= tree.time) {
        found.parent = static_cast<std::int8_t>(back(d));  // nearer to the terminal
        found.time = tree.time;
        found.distance = tree.distance + 1;
      }
    }
    return none;
  }

  // Sends what fits along the path through `site` of alpha's tree and its neighbour of beta's.
  void augment(int site, int direction) {
    Cost amount = residual(site, direction);
    const int ends[] = {site, neighbour(site, direction)};
    for (const int end : ends) {
      int s = end;
      for (Tree tree = trees_[at(s)]; tree.parent != terminal; tree = trees_[at(s)]) {
        amount = std::min(amount, to_parent(tree.side, s, tree.parent));
        s = neighbour(s, tree.parent);
      }
      amount = std::min(amount, std::abs(nodes_[at(s)].preference));
    }
    residual(site, direction) -= amount;
    residual(ends[1], back(direction)) += amount;
    for (const int end : ends) {
      int s = end;
      const Side side = trees_[at(s)].side;
      while (trees_[at(s)].parent != terminal) {
        const int d = trees_[at(s)].parent, parent = neighbour(s, d);
        // The way back along the edge opens by what is sent.
        (side == Side::alpha ? residual(s, d) : residual(parent, back(d))) += amount;
        if ((to_parent(side, s, d) -= amount) == 0) make_orphan(s);
        s = parent;
      }
      Cost& preference = nodes_[at(s)].preference;
      preference += side == Side::alpha ? -amount : amount;
      if (preference == 0) make_orphan(s);
    }
  }

  void make_orphan(int site) {
    trees_[at(site)].parent = orphan;
    orphans_.push_back(site);
  }

  // Distance of a site to its terminal, or none where the way ends at an orphan. Marks the way with this
  // time.
  int distance_of(int site) {
    int steps = 0, s = site;
    while (true) {
      Tree& tree = trees_[at(s)];
      if (tree.time == time_) {
        steps += tree.distance;
        break;
      }
      if (tree.parent == orphan) return none;
      if (tree.parent == terminal) {
        tree.time = time_;
        tree.distance = 1;
        ++steps;
        break;
      }
      ++steps;
      s = neighbour(s, tree.parent);
    }
    int distance = steps;
    for (s = site; trees_[at(s)].time != time_; s = neighbour(s, trees_[at(s)].parent)) {
      trees_[at(s)].time = time_;
      trees_[at(s)].distance = distance--;
    }
    return steps;
  }

  // Orphans look for another parent in their tree, or become free, and their children orphans.
  void adopt() {
    ++time_;
    while (!orphans_.empty()) {
      const int site = orphans_.back();
      orphans_.pop_back();
      const Side side = trees_[at(site)].side;
      int nearest = std::numeric_limits<int>::max(), parent = none;
      for (int d = 0; d < directions; ++d) {
        const int other = neighbour(site, d);
        if (to_parent(side, site, d) == 0 || trees_[at(other)].side != side) continue;
        const int distance = distance_of(other);
        if (distance != none && distance < nearest) {
          nearest = distance;
          parent = d;
        }
      }
      if (parent != none) {
        trees_[at(site)] = {side, static_cast<std::int8_t>(parent), time_, nearest + 1};
        continue;
      }
      for (int d = 0; d < directions; ++d) {
        const int other = neighbour(site, d);
        if (trees_[at(other)].side != side) continue;
        if (to_parent(side, site, d) > 0) activate(other);
        if (trees_[at(other)].parent == back(d)) make_orphan(other);
      }
      trees_[at(site)] = {Side::free, no_parent, 0, 0};
    }
  }

  std::array<int, directions> offsets_{};
  std::vector<Node> nodes_;
  std::vector<Tree> trees_;
  std::vector<int> next_active_, orphans_;
  int first_active_ = none, last_active_ = none, time_ = 0;
};

void check(const GridEnergy& energy) {
  const auto fits = [](std::size_t size, int rows, int columns) {
    return size == at(std::max(rows, 0)) * at(std::max(columns, 0));
  };
  if (energy.height < 1 || energy.width < 1 || energy.labels < 1 ||
      energy.height > most_swap_sites / energy.width)
    throw std::logic_error("label swap: a grid without sites or labels, or with too many sites");
  if (!fits(energy.unary.size(), energy.height * energy.width, energy.labels) ||
      !fits(energy.down.size(), energy.height - 1, energy.width) ||
      !fits(energy.right.size(), energy.height, energy.width - 1) ||
      !fits(energy.label_costs.size(), energy.labels, energy.labels))
    throw std::logic_error("label swap: costs do not have the grid's size");
  for (int a = 0; a < energy.labels; ++a) {
    for (int b = 0; b <= a; ++b) {
      const double cost = energy.label_costs[at(a * energy.labels + b)];
      // Written so that NaN is refused too.
      if (!(a == b ? cost == 0 : cost >= 0 && cost == energy.label_costs[at(b * energy.labels + a)]))
        throw std::logic_error("label swap: label costs are not symmetric, 0 on the diagonal and at least 0");
    }
  }
}

double largest_of(std::span<const double> values) {
  double largest = 0, sum = 0;
  for (const double value : values) {
    largest = std::max(largest, std::abs(value));
    sum += value;
  }
  // A NaN loses every comparison, but not a sum.
  return std::isfinite(sum) ? largest : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

double energy_of(const GridEnergy& energy, std::span<const std::int32_t> labels) {
  double sum = 0;
  const auto label = [&](int y, int x) { return labels[at(y * energy.width + x)]; };
  for (std::size_t p = 0; p < labels.size(); ++p)
    sum += energy.unary[p * at(energy.labels) + static_cast<std::size_t>(labels[p])];
  for (int y = 0; y + 1 < energy.height; ++y) {
    for (int x = 0; x < energy.width; ++x)
      sum += energy.down[at(y * energy.width + x)] *
             energy.label_costs[at(label(y, x) * energy.labels + label(y + 1, x))];
  }
  for (int y = 0; y < energy.height; ++y) {
    for (int x = 0; x + 1 < energy.width; ++x)
      sum += energy.right[at(y * (energy.width - 1) + x)] *
             energy.label_costs[at(label(y, x) * energy.labels + label(y, x + 1))];
  }
  return sum;
}

// The grid with one more site on each side, so that every site has four neighbours; edges to those cost
// nothing, and their label is one that no site takes.
class LabelSwap::Solver {
 public:
  std::span<const std::int32_t> minimise(const GridEnergy& energy) {
    take(energy);
    bool better = true;
    while (better) {
      better = false;
      for (int alpha = 0; alpha < labels_; ++alpha) {
        for (int beta = labels_ - 1; beta > alpha; --beta) better |= swap(alpha, beta);
      }
    }
    result_.resize(at(height_ * width_));
    for (int y = 0; y < height_; ++y) {
      for (int x = 0; x < width_; ++x) result_[at(y * width_ + x)] = label_[at(node_of(y, x))];
    }
    return result_;
  }

 private:
  int node_of(int y, int x) const { return (y + 1) * stride_ + x + 1; }
  // Costs of the edges of a node by direction, where the labels at its ends cost what distinct_[value] says.
  const std::array<Cost, directions>& edges(int value, int node) const {
    return edges_[at(value * nodes_ + node)];
  }
  int value_of(int label, int other) const { return value_of_[at(label * (labels_ + 1) + other)]; }

  void take(const GridEnergy& energy) {
    check(energy);
    height_ = energy.height;
    width_ = energy.width;
    labels_ = energy.labels;
    stride_ = width_ + 2;
    nodes_ = (height_ + 2) * stride_;
    words_ = (nodes_ + 63) / 64;
    offsets_ = {1, stride_, -1, -stride_};
    cut_.shape(nodes_, offsets_);

    const double most_weight = std::max(largest_of(energy.down), largest_of(energy.right)),
                 most_label_cost = largest_of(energy.label_costs), most_unary = largest_of(energy.unary),
                 most_edge = most_weight * most_label_cost;
    if (!std::isfinite(most_unary + most_edge) ||
        !std::isfinite(largest_of(energy.down) + largest_of(energy.right)))
      throw ModelError("the costs of mixing pictures are not finite", {},
                       "Saliencies come from gradients: look for the first loss that is not finite.");
    for (const auto weights : {energy.down, energy.right}) {
      if (std::any_of(weights.begin(), weights.end(), [](double weight) { return weight < 0; }))
        throw std::logic_error("label swap: a negative weight between neighbours");
    }
    int exponent = 0;
    std::frexp(std::max(most_unary, most_edge), &exponent);
    constexpr int least_exponent = -900;  // keeps the scale finite where all costs are next to nothing
    const double scale = std::ldexp(1.0, cost_bits - std::max(exponent, least_exponent));

    distinct_.clear();
    value_of_.assign(at((labels_ + 1) * (labels_ + 1)), 0);
    for (int a = 0; a < labels_; ++a) {
      for (int b = 0; b < labels_; ++b) {
        const double cost = energy.label_costs[at(a * labels_ + b)];
        const auto found = std::find(distinct_.begin(), distinct_.end(), cost);
        value_of_[at(a * (labels_ + 1) + b)] = static_cast<int>(found - distinct_.begin());
        if (found == distinct_.end()) distinct_.push_back(cost);
      }
    }
    edges_.assign(distinct_.size() * at(nodes_), {});
    for (std::size_t v = 0; v < distinct_.size(); ++v) {
      std::array<Cost, directions>* of = edges_.data() + v * at(nodes_);
      for (int y = 0; y < height_; ++y) {
        for (int x = 0; x < width_; ++x) {
          const int node = node_of(y, x);
          if (y + 1 < height_)
            of[node][down] = of[node + stride_][up] =
                rounded(energy.down[at(y * width_ + x)] * distinct_[v] * scale);
          if (x + 1 < width_)
            of[node][right] = of[node + 1][left] =
                rounded(energy.right[at(y * (width_ - 1) + x)] * distinct_[v] * scale);
        }
      }
    }

    // Label 0 everywhere.
    label_.assign(at(nodes_), labels_);
    members_.assign(at(labels_ * words_), 0);
    alike_.resize(distinct_.size() * at(nodes_));
    for (std::size_t v = 0; v < distinct_.size(); ++v) {
      for (int node = 0; node < nodes_; ++node) {
        const auto& to = edges(static_cast<int>(v), node);
        alike_[v * at(nodes_) + at(node)] = std::accumulate(to.begin(), to.end(), Cost{0});
      }
    }
    local_.resize(at(labels_ * nodes_));
    for (int y = 0; y < height_; ++y) {
      for (int x = 0; x < width_; ++x) {
        const int node = node_of(y, x);
        give(node, 0);
        const double* costs = energy.unary.data() + at((y * width_ + x) * labels_);
        for (int l = 0; l < labels_; ++l)
          local_[at(l * nodes_ + node)] =
              rounded(costs[l] * scale) + alike_[at(value_of(l, 0) * nodes_ + node)];
      }
    }
    choice_.assign(at(nodes_), Choice::none);
    own_preference_.resize(at(nodes_));
    around_.resize(at(nodes_));
    moves_ = 1;
    changed_.assign(at(labels_ + 1), moves_);
    solved_.assign(at(labels_ * labels_), 0);
  }

  void give(int node, int label) {
    label_[at(node)] = label;
    members_[at(label * words_ + node / 64)] |= std::uint64_t{1} << (node % 64);
  }

  template <class Work>
  static void for_bits(std::uint64_t bits, int first, const Work& work) {
    for (; bits != 0; bits &= bits - 1) work(first + std::countr_zero(bits));
  }

  // Whether sites of label `from` could gain by having label `to`. What a set of sites gains is at most the
  // sum of what each gains alone, with its neighbours as they are, and of the edges to neighbours with its
  // label, which may come with it.
  bool could_gain(int from, int to) const {
    const Cost *now = &local_[at(from * nodes_)], *then = &local_[at(to * nodes_)],
               *alike = &alike_[at(value_of(from, to) * nodes_)];
    bool gain = false;
    for (int word = 0; word < words_ && !gain; ++word)
      for_bits(members_[at(from * words_ + word)], word * 64,
               [&](int site) { gain |= then[site] - now[site] < alike[site]; });
    return gain;
  }

  // One swap; whether it made the energy smaller.
  bool swap(int alpha, int beta) {
    // Nothing that this swap looks at has changed since it was last solved: neither these labels' sites nor
    // their neighbours.
    int& solved = solved_[at(alpha * labels_ + beta)];
    if (changed_[at(alpha)] <= solved && changed_[at(beta)] <= solved) return false;
    solved = moves_;
    if (!could_gain(alpha, beta) && !could_gain(beta, alpha)) return false;

    sites_.clear();
    const std::uint64_t *of_alpha = &members_[at(alpha * words_)], *of_beta = &members_[at(beta * words_)];
    for (int word = 0; word < words_; ++word)
      for_bits(of_alpha[word] | of_beta[word], word * 64, [&](int site) { sites_.push_back(site); });

    // As a choice between two labels, relative to alpha everywhere: what beta costs a site, and what it costs
    // to be apart from a neighbour that chooses too.
    const int apart = value_of(alpha, beta);
    Cost now = 0, least = 0;
    for (const int site : sites_) {
      GridCut::Node& node = cut_.node(site);
      // Taken off again: what neighbours add that choose too.
      Cost preference = local_[at(beta * nodes_ + site)] - local_[at(alpha * nodes_ + site)];
      Cost around = 0, cut_now = 0;
      for (int d = 0; d < directions; ++d) {
        const int other = label_[at(site + offsets_[at(d)])];
        if (other != alpha && other != beta) continue;
        const Cost cost = edges(apart, site)[at(d)];
        node.apart[at(d)] = cost;
        around += cost;
        preference -= other == alpha ? cost : -cost;
        if (other != label_[at(site)]) cut_now += cost;
      }
      node.preference = preference;
      own_preference_[at(site)] = preference;
      around_[at(site)] = around;
      least += std::min<Cost>(preference, 0);
      // An edge is seen from both ends; it counts from alpha's.
      now += label_[at(site)] == beta ? preference : cut_now;
    }
    bool better = false;
    if (now > least) {  // else nothing can be cheaper
      if (least == 0)
        for (const int site : sites_) choice_[at(site)] = Choice::alpha;
      else
        choose();
      better = cost_of_choice(apart) < now;
      if (better) apply(alpha, beta);
      for (const int site : sites_) choice_[at(site)] = Choice::none;
    }
    cut_.clear(sites_);
    return better;
  }

  // The cheapest choice of all sites. Those whose own preference is stronger than all their edges together
  // need no cut, and what they choose becomes a preference of their neighbours. Where both are as strong,
  // alpha is the choice of a cheapest cut too, and of the one that is asked for.
  void choose() {
    const auto easy = [&](int site) {
      const Cost preference = cut_.node(site).preference, around = around_[at(site)];
      return preference >= around ? Choice::alpha : -preference > around ? Choice::beta : Choice::open;
    };
    to_look_at_.clear();
    for (const int site : sites_) {
      choice_[at(site)] = Choice::open;
      if (easy(site) != Choice::open) to_look_at_.push_back(site);
    }
    while (!to_look_at_.empty()) {
      const int site = to_look_at_.back();
      to_look_at_.pop_back();
      if (choice_[at(site)] != Choice::open) continue;
      const Choice choice = choice_[at(site)] = easy(site);
      for (int d = 0; d < directions; ++d) {
        const int other = site + offsets_[at(d)];
        const Cost cost = std::exchange(cut_.node(site).apart[at(d)], 0);
        if (cost == 0) continue;
        GridCut::Node& beside = cut_.node(other);
        beside.apart[at(back(d))] = 0;
        beside.preference += choice == Choice::alpha ? cost : -cost;
        around_[at(other)] -= cost;
        if (easy(other) != Choice::open) to_look_at_.push_back(other);
      }
    }
    open_.clear();
    for (const int site : sites_) {
      if (choice_[at(site)] == Choice::open) open_.push_back(site);
    }
    cut_.solve(open_);
    for (const int site : open_) choice_[at(site)] = cut_.on_beta(site) ? Choice::beta : Choice::alpha;
  }

  // Relative to alpha everywhere.
  Cost cost_of_choice(int apart) const {
    Cost cost = 0;
    for (const int site : sites_) {
      if (choice_[at(site)] != Choice::beta) continue;
      cost += own_preference_[at(site)];
      for (int d = 0; d < directions; ++d) {
        if (choice_[at(site + offsets_[at(d)])] == Choice::alpha) cost += edges(apart, site)[at(d)];
      }
    }
    return cost;
  }

  void apply(int alpha, int beta) {
    ++moves_;
    differing_.clear();
    for (int l = 0; l < labels_; ++l) {
      if (value_of(l, alpha) != value_of(l, beta)) differing_.push_back(l);
    }
    for (const int site : sites_) {
      const int before = label_[at(site)], label = choice_[at(site)] == Choice::beta ? beta : alpha;
      if (label != before) relabel(site, before, label);
    }
    changed_[at(alpha)] = changed_[at(beta)] = moves_;
    solved_[at(alpha * labels_ + beta)] = moves_;  // a cheapest choice: solving it again would bring nothing
  }

  // Keeps local_, alike_ and changed_ right; differing_ are the labels whose costs beside the two labels
  // differ.
  void relabel(int site, int before, int label) {
    members_[at(before * words_ + site / 64)] &= ~(std::uint64_t{1} << (site % 64));
    give(site, label);
    for (std::size_t v = 0; v < distinct_.size(); ++v) alike_[v * at(nodes_) + at(site)] = 0;
    for (int d = 0; d < directions; ++d) {
      const int beside = site + offsets_[at(d)], other = label_[at(beside)];
      for (const int l : differing_)
        local_[at(l * nodes_ + beside)] +=
            edges(value_of(l, label), site)[at(d)] - edges(value_of(l, before), site)[at(d)];
      changed_[at(other)] = moves_;
      if (other != before && other != label) continue;
      for (int v = 0; v < static_cast<int>(distinct_.size()); ++v) {
        const Cost cost = edges(v, site)[at(d)];
        alike_[at(v * nodes_ + beside)] += other == label ? cost : -cost;
        if (other == label) alike_[at(v * nodes_ + site)] += cost;
      }
    }
  }

  enum class Choice : std::uint8_t { none, open, alpha, beta };

  int height_ = 0, width_ = 0, labels_ = 0, stride_ = 0, nodes_ = 0, words_ = 0;
  std::array<int, directions> offsets_{};
  // [labels, nodes]: what a site costs with that label, with its edges, its neighbours being as they are.
  std::vector<Cost> local_;
  // [distinct, nodes]: the edges to neighbours with the site's own label, were they to cost that.
  std::vector<Cost> alike_;
  std::vector<double> distinct_;                     // label costs, each once
  std::vector<int> value_of_;                        // [labels + 1, labels + 1]: positions in distinct_
  std::vector<std::array<Cost, directions>> edges_;  // [distinct, nodes]
  std::vector<int> label_;                           // [nodes]; labels_ beyond the edge
  std::vector<std::uint64_t> members_;               // [labels, words]: a label's sites as bits
  int moves_ = 0;                                    // swaps that counted, plus one
  std::vector<int> changed_;  // [labels + 1]: last move at a label's sites or beside them
  std::vector<int> solved_;   // [labels, labels]: last move before a swap was solved
  std::vector<int> sites_, open_, to_look_at_, differing_;  // of one swap
  std::vector<Cost> own_preference_, around_;               // [nodes]
  std::vector<Choice> choice_;                              // [nodes]
  GridCut cut_;
  std::vector<std::int32_t> result_;
};

LabelSwap::LabelSwap() : solver_{std::make_unique<Solver>()} {}
LabelSwap::~LabelSwap() = default;
LabelSwap::LabelSwap(LabelSwap&&) noexcept = default;
LabelSwap& LabelSwap::operator=(LabelSwap&&) noexcept = default;
std::span<const std::int32_t> LabelSwap::minimise(const GridEnergy& energy) {
  return solver_->minimise(energy);
}

}  // namespace deda::mixing
