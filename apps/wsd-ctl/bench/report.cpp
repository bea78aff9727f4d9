#include "wsd-ctl/bench/report.hpp"

#include <fmt/format.h>

#include <array>
#include <string_view>
#include <utility>

#include "wsd-ctl/bench/readable.hpp"

namespace wsd::ctl::bench {

namespace {

/// Above that share of a core the generator may be what limits the rate.
constexpr double busy = 0.9;

constexpr std::array<std::pair<std::string_view, double>, 5> quantiles{
    {{"p50", 0.5}, {"p90", 0.9}, {"p95", 0.95}, {"p99", 0.99}, {"p99.9", 0.999}}};

std::string_view noun(Mode mode) {
    return mode == Mode::fan_out ? "deliveries" : mode == Mode::handshake ? "handshakes" : "messages";
}
std::string_view one_of(Mode mode) {
    return mode == Mode::fan_out ? "delivery" : mode == Mode::handshake ? "handshake" : "message";
}

std::string line(std::string_view name, std::string_view text) { return fmt::format("{:<12}{}\n", name, text); }

std::string headline(const Report& report) {
    const auto& options = report.options;
    std::string text = fmt::format("{}, {} connections", to_string(options.mode), readable_number(options.connections));
    if (options.mode == Mode::echo || options.mode == Mode::fan_out) {
        text += fmt::format(", {} bytes of {}", readable_number(options.size), options.binary ? "binary" : "text");
        text += options.rate ? fmt::format(", {} a second", readable_number(static_cast<std::uint64_t>(*options.rate)))
                             : fmt::format(", {} in flight{}", readable_number(options.in_flight),
                                           options.mode == Mode::echo ? " each" : "");
    }
    return line("load", text + fmt::format(", for {:.1f} s", report.seconds()));
}

std::string latency(const Histogram& histogram) {
    if (histogram.count() == 0) return {};
    std::string text;
    for (const auto& [name, part] : quantiles) {
        text += fmt::format("{} {}   ", name, readable_latency(histogram.quantile(part)));
    }
    return line("latency", text + "max " + readable_latency(histogram.max()));
}

std::string messages(const Report& report) {
    const auto& tally = report.outcome.tally;
    const auto mode = report.options.mode;
    std::string text = fmt::format("{}, {} a second", readable_number(tally.messages),
                                   readable_number(static_cast<std::uint64_t>(report.per_second(tally.messages))));
    if (mode == Mode::handshake) return line(noun(mode), text);
    text += fmt::format(", {}/s {}", readable_size(report.per_second(tally.bytes)),
                        mode == Mode::echo ? "each way" : "delivered");
    return line(noun(mode), text) +
           line("", fmt::format("{} lost, {} wrong", readable_number(tally.lost), readable_number(tally.wrong)));
}

std::string server(const Report& report) {
    std::string cpu = fmt::format("{:.0f} % of one core", 100 * report.share(report.server->cpu));
    if (const auto cost = report.server_microseconds()) {
        cpu = fmt::format("{:.3g} us of CPU for each {}, ", *cost, one_of(report.options.mode)) + cpu;
    }
    const auto& use = report.server->at_end;
    std::string memory = readable_size(static_cast<double>(use.rss)) + " RSS";
    if (use.pss) memory += fmt::format(", {} PSS", readable_size(static_cast<double>(*use.pss)));
    if (report.options.mode == Mode::idle) {
        memory += fmt::format(", {} more for each connection", readable_size(report.memory_of_connection()));
    }
    return line("server CPU", cpu) + line("memory", memory);
}

std::string json_of(const Histogram& latency) {
    std::string members;
    for (const auto& [name, part] : quantiles) {
        std::string key{name};
        if (const auto dot = key.find('.'); dot != std::string::npos) key[dot] = '_';
        members += fmt::format("\"{}\":{:.3f},", key, static_cast<double>(latency.quantile(part).count()) / 1e3);
    }
    return fmt::format("{{{}\"max\":{:.3f},\"mean\":{:.3f}}}", members,
                       static_cast<double>(latency.max().count()) / 1e3,
                       static_cast<double>(latency.mean().count()) / 1e3);
}

std::string json_of(const Report::Server& server, const Report& report) {
    const auto cost = report.server_microseconds();
    return fmt::format(
        "{{\"cpu\":{:.4f},\"cpu_us_per_message\":{},\"rss\":{},\"pss\":{},\"rss_per_connection\":{:.0f}}}",
        report.share(server.cpu), cost ? fmt::format("{:.4f}", *cost) : "null", server.at_end.rss,
        server.at_end.pss ? std::to_string(*server.at_end.pss) : "null", report.memory_of_connection());
}

/// What became of connections, and why the first of them went wrong.
std::vector<std::string> about_connections(const Report& report) {
    const auto& outcome = report.outcome;
    if (!outcome.failure) return {};
    if (outcome.ended > 0) {
        return {fmt::format("{}: the server ended {} of {} connections, the first with {}", report.options.url,
                            outcome.ended, report.options.connections, outcome.failure->text)};
    }
    if (outcome.opened == 0 || report.options.connections == 1) {
        return {fmt::format("{}: {}", report.options.url, outcome.failure->text)};
    }
    if (outcome.measured) {
        return {fmt::format("{}: {} of {} opening handshakes failed, the first: {}", report.options.url, outcome.failed,
                            outcome.failed + outcome.opened, outcome.failure->text)};
    }
    return {fmt::format("{}: {} (when {} of {} connections were open)", report.options.url, outcome.failure->text,
                        outcome.opened, report.options.connections)};
}

}  // namespace

double Report::seconds() const noexcept {
    return std::chrono::duration<double>(outcome.tally.end - outcome.tally.begin).count();
}
double Report::share(std::chrono::nanoseconds cpu) const noexcept {
    return std::chrono::duration<double>(cpu).count() / seconds();
}
double Report::per_second(std::uint64_t count) const noexcept { return static_cast<double>(count) / seconds(); }

std::optional<double> Report::server_microseconds() const noexcept {
    if (!server || outcome.tally.messages == 0) return std::nullopt;
    return static_cast<double>(server->cpu.count()) / 1e3 / static_cast<double>(outcome.tally.messages);
}

double Report::memory_of_connection() const noexcept {
    const double growth = static_cast<double>(server->at_end.rss) - static_cast<double>(server->before.rss);
    return std::max(growth, 0.0) / static_cast<double>(options.connections);
}

std::string to_text(const Report& report) {
    const auto& outcome = report.outcome;
    std::string text = line("server", report.options.url) + headline(report);
    if (report.options.mode != Mode::idle) text += messages(report) + latency(outcome.tally.latency);
    if (report.options.mode != Mode::handshake) {
        text += line("opening", fmt::format("{} for all connections", readable_latency(outcome.opening)));
    }
    text += line("generator", fmt::format("{:.0f} % of one core", 100 * report.share(report.generator.cpu)));
    if (report.server) text += server(report);
    return text;
}

std::string to_json(const Report& report) {
    const auto& [options, outcome] = std::pair<const Options&, const Outcome&>{report.options, report.outcome};
    const auto& tally = outcome.tally;
    return fmt::format(
        "{{\"url\":{},\"mode\":\"{}\",\"connections\":{},\"size\":{},\"in_flight\":{},\"rate\":{},\"duration_ms\":{:."
        "0f},"
        "\"messages\":{},\"messages_per_s\":{:.1f},\"bytes_per_s\":{:.0f},\"lost\":{},\"wrong\":{},\"unsent\":{},"
        "\"failed\":{},\"ended\":{},\"opening_ms\":{:.3f},\"latency_us\":{},\"generator_cpu\":{:.4f},\"generator_"
        "waited\":{:.4f},\"server\":{},"
        "\"interrupted\":{}}}\n",
        json_string(options.url), to_string(options.mode), options.connections, options.size, options.in_flight,
        options.rate ? fmt::format("{}", *options.rate) : "null", 1e3 * report.seconds(), tally.messages,
        report.per_second(tally.messages), report.per_second(tally.bytes), tally.lost, tally.wrong, tally.unsent,
        outcome.failed, outcome.ended, std::chrono::duration<double, std::milli>(outcome.opening).count(),
        json_of(tally.latency), report.share(report.generator.cpu), report.share(report.generator.waited),
        report.server ? json_of(*report.server, report) : "null", outcome.interrupted);
}

std::vector<std::string> remarks(const Report& report) {
    const auto& tally = report.outcome.tally;
    auto lines = about_connections(report);
    const auto add = [&](std::uint64_t count, std::string_view what) {
        if (count > 0)
            lines.push_back(fmt::format("{} {} {}", readable_number(count), noun(report.options.mode), what));
    };
    add(tally.wrong, "were not what was sent");
    add(tally.lost, "never came");
    if (!report.outcome.measured) return lines;
    add(tally.unsent, "were due and not sent, for the answers stayed away: that rate is too high");
    const double ran = report.share(report.generator.cpu), waited = report.share(report.generator.waited);
    if (ran > busy) {
        lines.push_back(
            fmt::format("warning: the generator took {:.0f} % of a core, so the server may be capable of more "
                        "(several wsd-ctl bench at the same time?)",
                        100 * ran));
    } else if (ran + waited > busy) {
        lines.push_back(
            fmt::format("warning: for {:.0f} % of the time the generator waited for a core, which counts in "
                        "the latencies: others, or the server, had it",
                        100 * waited));
    }
    return lines;
}

}  // namespace wsd::ctl::bench
