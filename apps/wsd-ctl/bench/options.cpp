#include "wsd-ctl/bench/options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include "common/flags.hpp"
#include "common/units.hpp"
#include "wsd-ctl/connect/request_field.hpp"
#include "wsserver/base/shell_words.hpp"

namespace wsd::ctl::bench {

namespace {

using wsserver::escape_control;
using wsserver::Result;
using wsserver::Unexpected;

constexpr std::array<std::string_view, 4> modes{"echo", "fan-out", "idle", "handshake"};  // as Mode numbers them
constexpr std::array<std::string_view, 18> flags{"--mode",     "--connections", "--size",    "--in-flight",  "--rate",
                                                 "--duration", "--warm-up",     "--timeout", "--binary",     "--text",
                                                 "--header",   "--subprotocol", "--origin",  "--server-pid", "--json",
                                                 "--quiet",    "--help",        "-H"};

/// The time of each is kept: 512 MiB.
constexpr std::uint64_t most_in_flight = std::uint64_t{1} << 26;
constexpr std::uint64_t largest_message = std::uint64_t{1} << 30;
/// With a rate, answers may be late, but messages in flight need memory on both sides.
constexpr std::uint32_t in_flight_at_a_rate = 1024;
/// Due messages are counted one by one. At a higher rate more would become due while they are counted.
constexpr double highest_rate = 1e7;

/// The values of flags as they were written; empty: not given.
struct Written {
    std::string mode, connections, size, in_flight, rate, duration, warm_up, timeout, server_pid;
    std::vector<std::string> fields;
    bool text = false;
};

using Problem = std::optional<std::string>;

template <class Number>
Problem read_number(std::string_view flag, const std::string& text, Number lowest, Number highest, Number& number) {
    if (text.empty()) return std::nullopt;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc{} && end == text.data() + text.size() && number >= lowest && number <= highest) {
        return std::nullopt;
    }
    return fmt::format("{} {}: expected a number from {} to {}", flag, escape_control(text), lowest, highest);
}

Problem read_time(std::string_view flag, const std::string& text, std::chrono::milliseconds& time) {
    if (text.empty()) return std::nullopt;
    const auto read = parse_time(text);
    if (!read) return fmt::format("{}: {}", flag, read.error());
    time = *read;
    return std::nullopt;
}

Problem read_mode(const std::string& text, Mode& mode) {
    if (text.empty()) return std::nullopt;
    const auto found = std::find(modes.begin(), modes.end(), text);
    if (found == modes.end()) {
        return fmt::format("--mode {}: expected echo, fan-out, idle or handshake", escape_control(text));
    }
    mode = static_cast<Mode>(found - modes.begin());
    return std::nullopt;
}

Problem read_size(const std::string& text, std::size_t& size) {
    if (text.empty()) return std::nullopt;
    const auto read = parse_size(text);
    if (!read) return "--size: " + read.error();
    if (*read > largest_message) return "--size: the maximum is 1GiB";
    size = static_cast<std::size_t>(*read);
    return std::nullopt;
}

Problem read_rate(const std::string& text, std::optional<double>& rate) {
    if (text.empty()) return std::nullopt;
    double number = 0;
    if (auto problem = read_number("--rate", text, 0.001, highest_rate, number)) return problem;
    rate = number;
    return std::nullopt;
}

Problem read_fields(const std::vector<std::string>& texts, std::vector<wsserver::HttpField>& fields) {
    for (const auto& text : texts) {
        auto field = parse_request_field(text);
        if (!field) return field.error();
        fields.push_back(*std::move(field));
    }
    return std::nullopt;
}

Problem read_values(const Written& written, Options& options) {
    if (auto problem = read_mode(written.mode, options.mode)) return problem;
    if (auto problem = read_number("--connections", written.connections, 1U, 2'000'000U, options.connections)) {
        return problem;
    }
    if (auto problem = read_size(written.size, options.size)) return problem;
    if (auto problem = read_rate(written.rate, options.rate)) return problem;
    if (options.rate) options.in_flight = in_flight_at_a_rate;
    if (auto problem = read_number("--in-flight", written.in_flight, 1U, 1'000'000U, options.in_flight)) return problem;
    if (auto problem = read_time("--duration", written.duration, options.duration)) return problem;
    if (auto problem = read_time("--warm-up", written.warm_up, options.warm_up)) return problem;
    if (auto problem = read_time("--timeout", written.timeout, options.timeout)) return problem;
    int pid = 0;
    if (auto problem = read_number("--server-pid", written.server_pid, 1, 1 << 30, pid)) return problem;
    if (pid > 0) options.server_pid = pid;
    return read_fields(written.fields, options.fields);
}

/// Contradictions between flags.
Problem contradiction(const Written& written, const Options& options) {
    if (written.text && options.binary) return "--text and --binary exclude each other";
    if (options.duration.count() == 0) return "--duration: must be longer than 0";
    if (options.timeout.count() == 0) return "--timeout: must be longer than 0";
    if (options.mode == Mode::fan_out && options.connections < 2) {
        return "--connections 1: fan-out needs one that publishes and at least one that receives";
    }
    if (std::uint64_t{options.connections} * options.in_flight > most_in_flight && !options.rate) {
        return fmt::format("--in-flight {}: with {} connections that is more than {} messages", options.in_flight,
                           options.connections, most_in_flight);
    }
    if (options.mode != Mode::idle && options.mode != Mode::handshake) return std::nullopt;
    const std::array<std::pair<std::string_view, bool>, 5> about_messages{{{"--size", !written.size.empty()},
                                                                           {"--in-flight", !written.in_flight.empty()},
                                                                           {"--rate", !written.rate.empty()},
                                                                           {"--binary", options.binary},
                                                                           {"--text", written.text}}};
    for (const auto& [flag, given] : about_messages) {
        if (given) return fmt::format("{}: with --mode {} no message is sent", flag, to_string(options.mode));
    }
    return std::nullopt;
}

std::string explain(const std::vector<std::string>& extra) {
    for (const auto& word : extra) {
        if (!word.starts_with('-')) continue;
        const auto meant = wsserver::closest_match(word.substr(0, word.find('=')), flags);
        return fmt::format("{} is not a flag of bench{}", word,
                           meant.empty() ? "" : fmt::format("; did you mean {}?", meant));
    }
    return fmt::format("{} is one word too many: bench takes one URL", extra.front());
}

}  // namespace

std::string_view to_string(Mode mode) noexcept { return modes[static_cast<std::size_t>(mode)]; }

Result<Options, std::string> parse_options(const std::vector<std::string>& words, Options options) {
    Written written;
    Flags own{Flags::OtherWords::collected};
    own.add_word("URL", options.url);
    own.add_value("--mode", written.mode);
    own.add_value("--connections", written.connections);
    own.add_value("--size", written.size);
    own.add_value("--in-flight", written.in_flight);
    own.add_value("--rate", written.rate);
    own.add_value("--duration", written.duration);
    own.add_value("--warm-up", written.warm_up);
    own.add_value("--timeout", written.timeout);
    own.add_value("--server-pid", written.server_pid);
    own.add_values("-H,--header", written.fields);
    own.add_values("--subprotocol", options.subprotocols);
    own.add_value("--origin", options.origin);
    own.add_switch("--binary", options.binary);
    own.add_switch("--text", written.text);
    own.add_switch("--json", options.json);
    own.add_switch("-q,--quiet", options.quiet);
    own.add_switch("-h,--help", options.wants_help);
    const auto extra = own.parse(words);
    if (!extra) return Unexpected{extra.error()};
    if (options.wants_help) return options;
    if (!extra->empty()) return Unexpected{explain(*extra)};
    if (options.url.empty()) return Unexpected{std::string{"the URL is missing: bench ws://HOST:PORT/PATH"}};
    if (auto problem = read_values(written, options)) return Unexpected{*std::move(problem)};
    if (auto problem = contradiction(written, options)) return Unexpected{*std::move(problem)};
    return options;
}

}  // namespace wsd::ctl::bench
