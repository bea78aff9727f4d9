#include "wsd-ctl/terminal.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <iostream>
#include <utility>

#include "wsserver/base/shell_words.hpp"

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

void Terminal::complain(std::string_view text) const {
    err << fmt::format("{}: {}\n", program, wsserver::escape_control(text)) << std::flush;
}

}  // namespace wsd::ctl
