// How figures are told: a table for people, or an object a line for programs.
#pragma once

#include <cstddef>
#include <string>
#include <variant>
#include <vector>

#include "options.hpp"

namespace wsserver::bench {

struct Cell {
    std::string name;
    std::variant<std::string, std::size_t, double> value;
};

/// Of one run of one mode.
class Table {
   public:
    /// Tells what is measured, where and how: `what` is a sentence's beginning. `options` must outlive the table.
    Table(const Options& options, const std::string& what);

    /// All rows have the same names, which are the keys and the heading.
    void row(const std::vector<Cell>& cells);

   private:
    void heading(const std::vector<Cell>& cells);

    const Options* options_;
    bool has_heading_ = false;
};

}  // namespace wsserver::bench
