// The result of a load.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "wsd-ctl/bench/tally.hpp"
#include "wsd-ctl/terminal.hpp"

namespace wsd::ctl::bench {

/// A text for the user and an exit code for scripts.
struct Failure {
    Exit code = exit_failed;
    std::string text{};
};

struct Outcome {
    Tally tally{};
    std::uint32_t opened = 0;            ///< of the initial connections
    std::chrono::nanoseconds opening{};  ///< time until all of them were open
    std::uint64_t failed = 0;            ///< failed opening handshakes
    std::uint64_t ended = 0;             ///< connections that the server ended
    std::optional<Failure> failure{};    ///< the first of either kind
    bool measured = false;               ///< the measurement has begun
    bool interrupted = false;

    /// The exit code of the program.
    int exit_code() const noexcept {
        if (tally.wrong > 0) return exit_failed;
        if (failure) return failure->code;
        return tally.lost > 0 ? exit_failed : exit_done;
    }
};

}  // namespace wsd::ctl::bench
