// What a load has shown: for people, or for programs.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "wsd-ctl/bench/options.hpp"
#include "wsd-ctl/bench/outcome.hpp"
#include "wsd-ctl/bench/process_use.hpp"

namespace wsd::ctl::bench {

struct Report {
    struct Server {
        std::chrono::nanoseconds cpu{};  ///< in the measurement
        ProcessUse before{};             ///< the first connection
        ProcessUse at_end{};             ///< of the measurement
    };

    const Options& options;
    const Outcome& outcome;
    OwnTime generator{};  ///< in the measurement
    std::optional<Server> server{};

    double seconds() const noexcept;
    /// Of one core; 1 is all of it.
    double share(std::chrono::nanoseconds cpu) const noexcept;
    double per_second(std::uint64_t count) const noexcept;
    /// Each of `messages` cost the server so much; none if there were none.
    std::optional<double> server_microseconds() const noexcept;
    /// What the server's memory grew by since the first connection, for each of them.
    double memory_of_connection() const noexcept;
};

/// Lines of a name and what is to be said about it. Precondition: outcome.measured.
std::string to_text(const Report& report);
/// One object, with a newline. Precondition: outcome.measured.
std::string to_json(const Report& report);
/// What went wrong or makes the figures doubtful, a line each; `url` as the user wrote it.
std::vector<std::string> remarks(const Report& report);

}  // namespace wsd::ctl::bench
