// Output for people: sizes, times, quoted words and aligned tables.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace wsserver {

/// `value` in the largest of `units` that leaves at least 1 before the point, with as many decimals as `digits` (2 or
/// more) significant digits need; none in the first unit. Each unit is `step` times the one before it.
std::string in_units(double value, double step, std::span<const std::string_view> units, int digits);

/// `512 B`, `1.2 KiB`, `34 MiB`: powers of 1024. With `digits` 3: `1.20 KiB`, `34.0 MiB`.
std::string readable_size(double bytes, int digits = 2);
/// Same with two digits.
std::string readable_size(std::uint64_t bytes);

/// `350 us`, `12.3 ms`, `4.2 s`, `3m 12s`, `2h 05m`, `3d 04h`. A negative time counts as 0.
std::string readable_time(std::chrono::microseconds time);

/// A word in backquotes, for an error: escaped, and cut after 80 bytes.
std::string quoted_word(std::string_view word);

/// What messages call a subprotocol: `subprotocol chat`, or `clients without a subprotocol` if it is empty.
std::string name_of_subprotocol(std::string_view subprotocol);

/// Rows under headings; each column is as wide as its widest cell. Cells are escaped, so a row stays on one line.
class Table {
   public:
    /// A heading and how the cells below it are aligned.
    struct Column {
        std::string_view heading;   ///< must be valid during the construction only
        bool to_the_right = false;  ///< for numbers
    };
    /// A table without rows. Precondition: there is at least one column.
    explicit Table(std::vector<Column> columns);

    /// One cell for each column. An empty cell is shown as `-`.
    void add(std::vector<std::string> cells);
    /// No row was added.
    bool empty() const noexcept { return rows_.size() == 1; }
    /// All lines, each with a newline at its end; the first has the headings.
    std::string text() const;

   private:
    std::vector<Column> columns_;
    std::vector<std::vector<std::string>> rows_;
};

}  // namespace wsserver
