// Compares the CPU time of servers under the same load. Their windows alternate.
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

/// One combination of the parameters of a load.
struct CostPoint {
    std::vector<Cell> labels;  ///< the parameters, for the first columns
    std::size_t connections;   ///< the number of connections that the load keeps open
    std::function<std::unique_ptr<Load>(const Contender& contender, std::uint16_t port)> make_load;
};

/// Prints a row for each server: `us` of its CPU per operation, operations `per_second`, and the ratio to the base.
/// Throws std::runtime_error if a server fails.
void compare_cost(const Options& options, const CostPoint& point, Table& table);

}  // namespace wsserver::bench
