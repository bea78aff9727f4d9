// Statistics of figures that were measured in alternating windows.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace wsserver::bench {

/// Precondition: `values` is not empty.
inline double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    const std::size_t middle = values.size() / 2;
    return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

struct Ratio {
    double median, least, most;
};

/// The ratio of figures that were measured in pairs.
inline Ratio ratio(const std::vector<double>& values, const std::vector<double>& base) {
    std::vector<double> ratios;
    for (std::size_t i = 0; i < values.size(); ++i) ratios.push_back(values[i] / base[i]);
    const auto [least, most] = std::minmax_element(ratios.begin(), ratios.end());
    return {median(ratios), *least, *most};
}

}  // namespace wsserver::bench
