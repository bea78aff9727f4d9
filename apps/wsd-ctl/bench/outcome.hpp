// How a load went.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "wsd-ctl/bench/tally.hpp"
#include "wsd-ctl/terminal.hpp"

namespace wsd::ctl::bench {

/// In words for the user, and for scripts.
struct Failure {
    Exit code = exit_failed;
    std::string text{};
};

struct Outcome {
    Tally tally{};
    std::uint32_t opened = 0;            ///< of the connections that were to be opened at first
    std::chrono::nanoseconds opening{};  ///< until all of them were open
    std::uint64_t failed = 0;            ///< opening handshakes without success
    std::uint64_t ended = 0;             ///< connections that the server ended
    std::optional<Failure> failure{};    ///< the first of either kind
    bool measured = false;               ///< the measurement has begun
    bool interrupted = false;

    /// What the exit code says.
    int exit_code() const noexcept {
        if (tally.wrong > 0) return exit_failed;
        if (failure) return failure->code;
        return tally.lost > 0 ? exit_failed : exit_done;
    }
};

}  // namespace wsd::ctl::bench
