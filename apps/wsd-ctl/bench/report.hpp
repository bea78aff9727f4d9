// The report of a load, as text or JSON.
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
        std::chrono::nanoseconds cpu{};  ///< during the measurement
        ProcessUse before{};             ///< before the first connection
        ProcessUse at_end{};             ///< at the end of the measurement
    };

    const Options& options;
    const Outcome& outcome;
    OwnTime generator{};  ///< during the measurement
    std::optional<Server> server{};

    /// The duration of the measurement.
    double seconds() const noexcept;
    /// CPU time as a share of one core: 1 is a whole core.
    double share(std::chrono::nanoseconds cpu) const noexcept;
    double per_second(std::uint64_t count) const noexcept;
    /// CPU time of the server for each message; nothing if it is not known or there were no messages.
    std::optional<double> server_microseconds() const noexcept;
    /// Growth of the server's memory for each connection, in bytes. Precondition: `server` is set.
    double memory_of_connection() const noexcept;
};

/// Lines of a name and its values. Precondition: outcome.measured.
std::string to_text(const Report& report);
/// One JSON object and a newline. Precondition: outcome.measured.
std::string to_json(const Report& report);
/// Errors and warnings about the figures, one line each.
std::vector<std::string> remarks(const Report& report);

}  // namespace wsd::ctl::bench
