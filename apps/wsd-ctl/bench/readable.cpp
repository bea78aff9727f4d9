#include "wsd-ctl/bench/readable.hpp"

#include <array>
#include <string_view>

#include "wsserver/control/text_format.hpp"

namespace wsd::ctl::bench {

std::string readable_number(std::uint64_t number) {
    std::string text = std::to_string(number);
    for (std::size_t place = text.size(); place > 3;) text.insert(place -= 3, 1, ',');
    return text;
}

std::string readable_latency(std::chrono::nanoseconds time) {
    static constexpr std::array<std::string_view, 4> units{"ns", "us", "ms", "s"};
    return wsserver::in_units(static_cast<double>(time.count()), 1000, units, 3);
}

}  // namespace wsd::ctl::bench
