// Where a program's words come from and go to: the real ones, or a test's.
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
    std::string program;  ///< `wsd-ctl`, or `wsd`, which knows the same words
    std::ostream& out;
    std::ostream& err;
    int in = 0;  ///< a descriptor
    bool in_is_terminal = false;
    bool out_is_terminal = false;  ///< it would obey control characters
    bool err_is_terminal = false;

    /// The process's own.
    static Terminal real(std::string program);

    /// exit_done when out has taken all that was printed; else exit_failed, and err says so.
    Exit printed() const;

    /// `wsd-ctl: TEXT` on err.
    void complain(std::string_view text) const;
};

}  // namespace wsd::ctl
