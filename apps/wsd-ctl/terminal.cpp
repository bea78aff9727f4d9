#include "wsd-ctl/terminal.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <iostream>
#include <utility>

#include "wsserver/base/shell_words.hpp"
#include "wsserver/control/json.hpp"

namespace wsd::ctl {

Terminal Terminal::real(std::string program) {
    const auto is_terminal = [](int descriptor) { return ::isatty(descriptor) == 1; };
    return {std::move(program),
            std::cout,
            std::cerr,
            STDIN_FILENO,
            is_terminal(STDIN_FILENO),
            is_terminal(STDOUT_FILENO),
            is_terminal(STDERR_FILENO)};
}

Exit Terminal::printed() const {
    if (out << std::flush) return exit_done;
    complain("standard output cannot be written, so the output is lost");
    return exit_failed;
}

namespace {

std::string_view code_of(Exit exit) {
    switch (exit) {
        case exit_usage:
            return "usage";
        case exit_no_daemon:
            return "no-daemon";
        case exit_handshake_refused:
            return "handshake-refused";
        case exit_closed_abnormally:
            return "closed-abnormally";
        case exit_tls:
            return "tls";
        case exit_timeout:
            return "timeout";
        case exit_done:
        case exit_failed:
            break;
    }
    return "failed";
}

}  // namespace

void Terminal::complain(std::string_view text, std::string_view code) const {
    if (json) {
        err << wsserver::JsonObject{}.add("error", code).add("text", text).text() << std::endl;
    } else {
        err << fmt::format("{}: {}\n", program, wsserver::escape_control(text)) << std::flush;
    }
}

Exit Terminal::fail(Exit exit, std::string_view text) const {
    complain(text, code_of(exit));
    return exit;
}

void Terminal::warn(std::string_view text) const {
    if (json) {
        err << wsserver::JsonObject{}.add("warning", text).text() << std::endl;
    } else {
        complain(fmt::format("warning: {}", text));
    }
}

}  // namespace wsd::ctl
