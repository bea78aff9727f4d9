#include "wsd-ctl/bench/report.hpp"

#include <fmt/format.h>

#include <array>
#include <string_view>
#include <utility>

#include "wsd-ctl/bench/readable.hpp"
#include "wsserver/control/json.hpp"
#include "wsserver/control/text_format.hpp"

namespace wsd::ctl::bench {

namespace {

using wsserver::JsonObject;

/// Above this share of a core the generator may limit the rate.
constexpr double busy = 0.9;

constexpr std::array<std::pair<std::string_view, double>, 5> quantiles{
    {{"p50", 0.5}, {"p90", 0.9}, {"p95", 0.95}, {"p99", 0.99}, {"p99.9", 0.999}}};

std::string_view noun(Mode mode) {
    return mode == Mode::fan_out ? "deliveries" : mode == Mode::handshake ? "handshakes" : "messages";
}
std::string_view one_of(Mode mode) {
    return mode == Mode::fan_out ? "delivery" : mode == Mode::handshake ? "handshake" : "message";
}

/// With three digits: what one connection costs is compared between servers.
std::string size_text(double bytes) { return wsserver::readable_size(bytes, 3); }

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
    text += fmt::format(", {}/s {}", size_text(report.per_second(tally.bytes)),
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
    std::string memory = size_text(static_cast<double>(use.rss)) + " RSS";
    if (use.pss) memory += fmt::format(", {} PSS", size_text(static_cast<double>(*use.pss)));
    if (report.options.mode == Mode::idle) {
        memory += fmt::format(", {} more for each connection", size_text(report.memory_of_connection()));
    }
    return line("server CPU", cpu) + line("memory", memory);
}

double microseconds(std::chrono::nanoseconds time) { return static_cast<double>(time.count()) / 1e3; }

std::string json_of(const Histogram& latency) {
    JsonObject object;
    for (const auto& [name, part] : quantiles) {
        std::string key{name};
        if (const auto dot = key.find('.'); dot != std::string::npos) key[dot] = '_';
        object.add(key, microseconds(latency.quantile(part)), 3);
    }
    return object.add("max", microseconds(latency.max()), 3).add("mean", microseconds(latency.mean()), 3).text();
}

std::string json_of(const Report::Server& server, const Report& report) {
    const auto cost = report.server_microseconds();
    return JsonObject{}
        .add("cpu", report.share(server.cpu), 4)
        .raw("cpu_us_per_message", cost ? fmt::format("{:.4f}", *cost) : "null")
        .add("rss", server.at_end.rss)
        .raw("pss", server.at_end.pss ? std::to_string(*server.at_end.pss) : "null")
        .add("rss_per_connection", report.memory_of_connection(), 0)
        .text();
}

/// How many connections failed or ended, and why the first of them did.
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
    return JsonObject{}
               .add("url", options.url)
               .add("mode", to_string(options.mode))
               .add("connections", options.connections)
               .add("size", options.size)
               .add("in_flight", options.in_flight)
               .raw("rate", options.rate ? fmt::format("{}", *options.rate) : "null")
               .add("duration_ms", 1e3 * report.seconds(), 0)
               .add("messages", tally.messages)
               .add("messages_per_s", report.per_second(tally.messages), 1)
               .add("bytes_per_s", report.per_second(tally.bytes), 0)
               .add("lost", tally.lost)
               .add("wrong", tally.wrong)
               .add("unsent", tally.unsent)
               .add("failed", outcome.failed)
               .add("ended", outcome.ended)
               .add("opening_ms", std::chrono::duration<double, std::milli>(outcome.opening).count(), 3)
               .raw("latency_us", json_of(tally.latency))
               .add("generator_cpu", report.share(report.generator.cpu), 4)
               .add("generator_waited", report.share(report.generator.waited), 4)
               .raw("server", report.server ? json_of(*report.server, report) : "null")
               .add("interrupted", outcome.interrupted)
               .text() +
           '\n';
}

std::vector<std::string> remarks(const Report& report) {
    const auto& tally = report.outcome.tally;
    auto lines = about_connections(report);
    const auto add = [&](std::uint64_t count, std::string_view what) {
        if (count > 0)
            lines.push_back(fmt::format("{} {} {}", readable_number(count), noun(report.options.mode), what));
    };
    add(tally.wrong, "differed from what was sent");
    add(tally.lost, "were never received");
    if (!report.outcome.measured) return lines;
    add(tally.unsent, "were due and not sent, since answers were missing: the rate is too high");
    const double ran = report.share(report.generator.cpu), waited = report.share(report.generator.waited);
    if (ran > busy) {
        lines.push_back(fmt::format(
            "warning: the generator used {:.0f} % of a core, so the server may be capable of more (run several "
            "wsd-ctl bench at the same time)",
            100 * ran));
    } else if (ran + waited > busy) {
        lines.push_back(fmt::format(
            "warning: the generator waited for a core for {:.0f} % of the time, which is part of the latencies: "
            "the server or other processes used all cores",
            100 * waited));
    }
    return lines;
}

}  // namespace wsd::ctl::bench
