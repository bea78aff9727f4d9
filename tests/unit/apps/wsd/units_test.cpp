#include "common/units.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

#include "support/catch.hpp"

using namespace std::chrono_literals;
using wsd::parse_size;
using wsd::parse_time;
using wsd::print_size;
using wsd::print_time;

TEST_CASE("sizes are read in bytes, powers of 1024 and of 1000", "[wsd][units]") {
    const std::pair<const char*, std::uint64_t> right[] = {
        {"0", 0},
        {"512", 512},
        {"512B", 512},
        {"64KiB", 65536},
        {"64kib", 65536},
        {"64K", 65536},
        {"64 KiB", 65536},
        {"16MiB", 16777216},
        {"16M", 16777216},
        {"2GiB", 2147483648},
        {"64KB", 64000},
        {"64kB", 64000},
        {"1MB", 1000000},
        {"3GB", 3000000000},
        {"9223372036854775807", 9223372036854775807u},
    };
    for (const auto& [text, bytes] : right) {
        CAPTURE(text);
        const auto size = parse_size(text);
        REQUIRE(size);
        CHECK(*size == bytes);
    }
}

TEST_CASE("an error about a size quotes it and shows examples", "[wsd][units]") {
    for (const char* text :
         {"", " ", "MiB", "-1", "+1", "1.5MiB", "16Mi", "16MiBs", "16 MiB ", "0x10", "1e6", "16ＭiB"}) {
        CAPTURE(text);
        const auto size = parse_size(text);
        REQUIRE(!size);
        CHECK(size.error() ==
              "`" + std::string{text} + "` is not a size; expected a number of bytes, such as 65536, 64KiB, 16MiB");
    }
    for (const char* text : {"9223372036854775808", "99999999999GiB", "8796093022208MiB"}) {
        CAPTURE(text);
        REQUIRE(!parse_size(text));
        CHECK(parse_size(text).error() == "`" + std::string{text} + "` is too large for a size");
    }
}

TEST_CASE("a printed size is read back as the same size", "[wsd][units]") {
    CHECK(print_size(0) == "0B");
    CHECK(print_size(1) == "1B");
    CHECK(print_size(1023) == "1023B");
    CHECK(print_size(1024) == "1KiB");
    CHECK(print_size(16 << 20) == "16MiB");
    CHECK(print_size(1536) == "1536B");
    CHECK(print_size(3'000'000) == "3MB");
    for (std::uint64_t bytes = 0; bytes < 5'000'000; bytes += 997) {
        const auto back = parse_size(print_size(bytes));
        REQUIRE(back);
        REQUIRE(*back == bytes);
    }
}

TEST_CASE("times are read with their unit", "[wsd][units]") {
    const std::pair<const char*, std::chrono::milliseconds> right[] = {
        {"0", 0ms},       {"0s", 0ms}, {"500ms", 500ms}, {"25s", 25s},   {"25 s", 25s},     {"10m", 10min},
        {"10min", 10min}, {"2h", 2h},  {"7d", 168h},     {"1m30s", 90s}, {"1h 30m", 90min}, {"2S", 2s},
    };
    for (const auto& [text, time] : right) {
        CAPTURE(text);
        const auto read = parse_time(text);
        REQUIRE(read);
        CHECK(*read == time);
    }
}

TEST_CASE("a time without a unit is rejected", "[wsd][units]") {
    const std::pair<const char*, const char*> wrong[] = {
        {"25", "has no unit"},
        {"1m30", "has no unit"},
        {"", "is not a time"},
        {"s", "is not a time"},
        {"-5s", "is not a time"},
        {"1.5s", "has no unit"},
        {"5 weeks", "has an unknown unit"},
        {"5us", "has an unknown unit"},
        {"36526d", "is longer than 100 years"},
        {"18446744073709551615s", "is longer than 100 years"},
        {"36525d1ms", "is longer than 100 years"},
        {"99999999999999999999s", "is not a time"},
    };
    for (const auto& [text, why] : wrong) {
        CAPTURE(text);
        const auto read = parse_time(text);
        REQUIRE(!read);
        CHECK(read.error() == "`" + std::string{text} + "` " + why + "; expected a time such as 500ms, 25s, 10m, 2h");
    }
}

TEST_CASE("a printed time is read back as the same time", "[wsd][units]") {
    CHECK(print_time(0ms) == "0s");
    CHECK(print_time(1ms) == "1ms");
    CHECK(print_time(1500ms) == "1500ms");
    CHECK(print_time(25s) == "25s");
    CHECK(print_time(90s) == "90s");
    CHECK(print_time(10min) == "10m");
    CHECK(print_time(48h) == "2d");
    for (std::chrono::milliseconds time{0}; time < 3h; time += 977ms) {
        const auto back = parse_time(print_time(time));
        REQUIRE(back);
        REQUIRE(*back == time);
    }
}
