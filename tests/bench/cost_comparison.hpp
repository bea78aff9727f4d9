// What servers need of CPU time under the same load, window by window in turn.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "load/load.hpp"
#include "options.hpp"
#include "table.hpp"

namespace wsserver::bench {

/// One point of a matrix.
struct CostPoint {
    std::vector<Cell> labels;  ///< what the load is, for the first columns
    std::size_t connections;   ///< that it keeps open
    std::function<std::unique_ptr<Load>(const Contender& contender, std::uint16_t port)> make_load;
};

/// A row for each server: `us` of its CPU for each thing done, `per_second`, and the ratio to the base.
/// Throws std::runtime_error.
void compare_cost(const Options& options, const CostPoint& point, Table& table);

}  // namespace wsserver::bench
