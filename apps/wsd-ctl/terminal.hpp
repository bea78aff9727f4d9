// Where a program reads and writes: its own streams, or those of a test.
#pragma once

#include <ostream>
#include <string>
#include <string_view>

namespace wsd::ctl {

/// Exit codes; those of answers come from wsserver::exit_status_of().
enum Exit : int {
    exit_done = 0,
    exit_failed = 1,
    exit_usage = 2,
    exit_no_daemon = 3,
    exit_handshake_refused = 4,
    exit_closed_abnormally = 5,
    exit_tls = 6,
    exit_timeout = 7,
};

struct Terminal {
    std::string program;  ///< `wsd-ctl`, or `wsd`, which has the same commands
    std::ostream& out;
    std::ostream& err;
    int in = 0;  ///< a descriptor
    bool in_is_terminal = false;
    bool out_is_terminal = false;  ///< so control characters must be escaped
    bool err_is_terminal = false;
    bool json = false;  ///< errors and warnings are JSON

    /// The streams of this process.
    static Terminal real(std::string program);

    /// Flushes `out`. Returns exit_done, or exit_failed with a message on `err` if the output could not be written.
    Exit printed() const;

    /// Prints an error on `err`: `wsd-ctl: TEXT`, escaped, or `{"error":CODE,"text":TEXT}`.
    void complain(std::string_view text, std::string_view code = "failed") const;
    /// Prints an error with the code of that exit code, which it returns.
    Exit fail(Exit exit, std::string_view text) const;
    /// Prints `wsd-ctl: warning: TEXT`, or `{"warning":TEXT}`.
    void warn(std::string_view text) const;
};

}  // namespace wsd::ctl
