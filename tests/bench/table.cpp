// Prints a table, or JSON lines.
#include "table.hpp"

#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <string_view>
#include <thread>

namespace wsserver::bench {

namespace {

/// The model of the first processor.
std::string processor() {
    std::ifstream description{"/proc/cpuinfo"};
    for (std::string line; std::getline(description, line);) {
        const auto colon = line.find(": ");
        if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
    }
    return "unknown processor";
}

std::string system_name() {
    utsname system{};
    uname(&system);
    return std::string{system.sysname} + " " + system.release;
}

std::string quoted(std::string_view text) {
    std::string quoted = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') quoted += '\\';
        if (static_cast<unsigned char>(c) >= ' ') quoted += c;
    }
    return quoted + '"';
}

std::string number(double value, int digits) {
    std::array<char, 40> text;
    std::snprintf(text.data(), text.size(), "%.*g", digits, value);
    return text.data();
}

bool is_text(const Cell& cell) { return std::holds_alternative<std::string>(cell.value); }

/// The text of a cell, with `digits` significant digits.
std::string written(const Cell& cell, int digits) {
    if (const auto* text = std::get_if<std::string>(&cell.value)) return *text;
    if (const auto* count = std::get_if<std::size_t>(&cell.value)) return std::to_string(*count);
    const double value = std::get<double>(cell.value);
    if (value < 1000) return number(value, digits);
    return std::to_string(static_cast<long long>(value + 0.5));
}

void print_column(const Cell& cell, const std::string& text) {
    if (is_text(cell)) {
        std::printf("  %-16s", text.c_str());
    } else {
        std::printf(" %*s", static_cast<int>(std::max(cell.name.size(), std::size_t{9})), text.c_str());
    }
}

}  // namespace

Table::Table(const Options& options, const std::string& what) : options_(&options) {
    const auto window = static_cast<long long>(options.window.count());
    if (options.json) {
        std::printf(R"({"mode":"about","of":%s,"what":%s,"system":%s,"processor":%s,"processors":%u,"cores":%s,)"
                    R"("rounds":%zu,"window_ms":%lld})"
                    "\n",
                    quoted(options.mode).c_str(), quoted(what).c_str(), quoted(system_name()).c_str(),
                    quoted(processor()).c_str(), std::thread::hardware_concurrency(), quoted(options.cores).c_str(),
                    options.rounds, window);
    } else {
        std::printf("%s\n%s, %u x %s; cores: %s; %zu rounds of %lld ms\n\n", what.c_str(), system_name().c_str(),
                    std::thread::hardware_concurrency(), processor().c_str(), options.cores.c_str(), options.rounds,
                    window);
    }
    std::fflush(stdout);
}

void Table::row(const std::vector<Cell>& cells) {
    if (options_->json) {
        std::printf(R"({"mode":%s,"cores":%s)", quoted(options_->mode).c_str(), quoted(options_->cores).c_str());
        for (const Cell& cell : cells) {
            const std::string value = written(cell, 6);
            std::printf(",%s:%s", quoted(cell.name).c_str(), is_text(cell) ? quoted(value).c_str() : value.c_str());
        }
        std::printf("}\n");
    } else {
        if (!has_heading_) heading(cells);
        for (const Cell& cell : cells) print_column(cell, written(cell, 3));
        std::printf("\n");
    }
    std::fflush(stdout);
}

void Table::heading(const std::vector<Cell>& cells) {
    for (const Cell& cell : cells) print_column(cell, cell.name);
    std::printf("\n");
    has_heading_ = true;
}

}  // namespace wsserver::bench
