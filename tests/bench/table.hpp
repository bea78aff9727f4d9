// The output of the benchmark: a table for people, or a JSON object per line for programs.
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

/// The table of one mode.
class Table {
   public:
    /// Prints what is measured, on which machine and how. `options` must outlive the table.
    Table(const Options& options, const std::string& what);

    /// Prints a row. All rows have the same names, which are the heading or the keys.
    void row(const std::vector<Cell>& cells);

   private:
    void heading(const std::vector<Cell>& cells);

    const Options* options_;
    bool has_heading_ = false;
};

}  // namespace wsserver::bench
