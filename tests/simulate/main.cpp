// Runs simulations: simulate [--seed N] [--count N] [--steps N] [--sabotage WHAT]
#include <charconv>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <string_view>
#include <thread>

#include "simulate/simulation.hpp"

namespace {

using namespace wsserver::simulate;

struct Arguments {
    std::uint64_t seed = 1;
    std::uint64_t count = 100;
    std::uint64_t steps = 1200;
    Sabotage sabotage = Sabotage::none;
    bool traced = false;
    bool valid = true;
};

bool read(std::string_view text, std::uint64_t& number) {
    const auto result = std::from_chars(text.data(), text.data() + text.size(), number);
    return result.ec == std::errc{} && result.ptr == text.data() + text.size();
}

bool read(std::string_view text, Sabotage& sabotage) {
    constexpr std::string_view names[] = {"none",       "lose-reply",    "repeat-reply", "forget-close",
                                          "lose-count", "ignore-memory", "leak-memory"};
    for (std::size_t i = 0; i < std::size(names); ++i) {
        if (names[i] == text) return sabotage = static_cast<Sabotage>(i), true;
    }
    return false;
}

Arguments read(int argc, char** argv) {
    Arguments arguments;
    for (int i = 1; i < argc; i += 2) {
        const std::string_view name = argv[i];
        if (name == "--trace") {
            arguments.traced = true;
            --i;
            continue;
        }
        const std::string_view value = i + 1 < argc ? argv[i + 1] : "";
        arguments.valid = arguments.valid && ((name == "--seed" && read(value, arguments.seed)) ||
                                              (name == "--count" && read(value, arguments.count)) ||
                                              (name == "--steps" && read(value, arguments.steps)) ||
                                              (name == "--sabotage" && read(value, arguments.sabotage)));
    }
    return arguments;
}

/// Runs a simulation and adds to `all` what it has done. Returns the rule that it broke, or nothing. It has a thread of
/// its own, because a thread keeps buffers, and their sizes decide how much is received at once.
std::string violation_of(std::uint64_t seed, const Arguments& arguments, Summary& all) {
    std::string violation;
    std::thread{[&] {
        try {
            all.add(Simulation{seed, arguments.sabotage, arguments.traced}.run(arguments.steps));
        } catch (const std::exception& broken) {
            violation = broken.what();
        }
    }}.join();
    return violation;
}

}  // namespace

int main(int argc, char** argv) {
    const Arguments arguments = read(argc, argv);
    if (!arguments.valid) {
        std::fputs(
            "usage: simulate [--seed N] [--count N] [--steps N] [--trace]\n"
            "                [--sabotage lose-reply|repeat-reply|forget-close|lose-count|\n"
            "                            ignore-memory|leak-memory]\n"
            "Runs COUNT simulations with the seeds N, N + 1, ... With --sabotage the simulated server has a fault,\n"
            "and the exit status is 0 if it was found.\n",
            stderr);
        return 2;
    }
    Summary all;
    std::uint64_t found = 0;
    for (std::uint64_t seed = arguments.seed; seed < arguments.seed + arguments.count; ++seed) {
        const std::string violation = violation_of(seed, arguments, all);
        if (violation.empty()) continue;
        ++found;
        std::printf("seed %llu: %s\n", static_cast<unsigned long long>(seed), violation.c_str());
        if (arguments.sabotage != Sabotage::none) break;
        std::printf("    to see it again: ./dev simulate --seed %llu --count 1 --steps %llu --trace\n",
                    static_cast<unsigned long long>(seed), static_cast<unsigned long long>(arguments.steps));
        std::fflush(stdout);
    }
    std::printf(
        "%llu simulations, %llu violations; %zu connections, %zu messages, %zu replies, %zu broadcasts, "
        "%zu messages by the hub, %zu dropped\n"
        "pauses: %zu for memory, %zu for rates, %zu of publishers; %zu closed for memory; at most %zu bytes over\n",
        static_cast<unsigned long long>(arguments.count), static_cast<unsigned long long>(found), all.connections,
        all.messages, all.replies, all.casts, all.sends, all.dropped, all.memory_pauses, all.rate_pauses,
        all.publish_pauses, all.closed_for_memory, all.excess);
    return (found > 0) == (arguments.sabotage != Sabotage::none) ? 0 : 1;
}
