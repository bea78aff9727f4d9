// Sizes and times with any bytes. What is accepted is printed and read again with the same result.
#include <algorithm>
#include <cctype>
#include <limits>
#include <string>

#include "common/units.hpp"
#include "fuzz_input.hpp"

using std::chrono::milliseconds;
using wsserver::fuzz::FuzzInput;
using wsserver::fuzz::require;

namespace {

constexpr std::string_view pieces[] = {
    "0", "1", "9", "18446744073709551615", "36525", "KiB", "MB", "g", "B", "ms", "s", "m", "min", "h", "d", " ", "-",
    "+", ".", "e"};

constexpr milliseconds hundred_years{std::int64_t{36'525} * 86'400'000};

std::string upper_case(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    return text;
}

void check_size(const std::string& text) {
    const auto size = wsd::parse_size(text);
    const auto upper = wsd::parse_size(upper_case(text));
    require(size.has_value() == upper.has_value(), "the case of a size does not matter");
    if (!size) return require(!size.error().empty(), "an error has a text");
    require(*size == *upper, "the case of a unit does not matter");
    require(*size <= std::numeric_limits<std::int64_t>::max(), "a size fits in 63 bits");
    const auto again = wsd::parse_size(wsd::print_size(*size));
    require(again && *again == *size, "a size is printed as it was read");
}

void check_time(const std::string& text) {
    const auto time = wsd::parse_time(text);
    const auto upper = wsd::parse_time(upper_case(text));
    require(time.has_value() == upper.has_value(), "the case of a time does not matter");
    if (!time) return require(!time.error().empty(), "an error has a text");
    require(*time == *upper, "the case of a unit does not matter");
    require(*time >= milliseconds{0} && *time <= hundred_years, "a time is within 100 years");
    const auto again = wsd::parse_time(wsd::print_time(*time));
    require(again && *again == *time, "a time is printed as it was read");
    const auto longer = wsd::parse_time(text + "1ms");
    if (text != "0") require(longer.has_value() == (*time < hundred_years), "the parts of a time are added");
    if (text != "0" && longer) require(*longer == *time + milliseconds{1}, "the sum of the parts");
}

void check_number(FuzzInput input) {
    std::uint64_t number = 0;
    for (int i = 0; i < 8; ++i) number = number << 8 | input.byte();
    number >>= input.below(64);
    number &= std::numeric_limits<std::int64_t>::max();
    const auto size = wsd::parse_size(wsd::print_size(number));
    require(size && *size == number, "each size can be printed and read");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    FuzzInput input{{data, size}};
    check_number(input);
    const auto text = wsserver::fuzz::text_from(input, pieces);
    check_size(text);
    check_time(text);
    return 0;
}
