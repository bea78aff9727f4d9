#include "wsd-ctl/connect/no_connection.hpp"

#include <fmt/format.h>

#include "wsserver/base/shell_words.hpp"
#include "wsserver/protocol/error.hpp"

namespace wsd::ctl {

Exit exit_code_of_unopened(const wsserver::ConnectionEnd& end) noexcept {
    using wsserver::Errc;
    if (end.error == std::errc::timed_out || end.error == make_error_code(Errc::handshake_timeout)) return exit_timeout;
    if (end.error == std::errc::invalid_argument) return exit_usage;
    if (end.error == std::errc::protocol_not_supported) return exit_tls;
    if (end.error.category() == wsserver::wsserver_category()) return exit_handshake_refused;
    return exit_failed;
}

std::string describe_end(const wsserver::ConnectionEnd& end) {
    using wsserver::escape_control;
    auto text = fmt::format("{}", static_cast<unsigned>(end.code));
    if (!end.reason.empty()) text += ' ' + escape_control(end.reason);
    if (!end.cause.empty() && end.cause != end.reason) text += fmt::format(" ({})", escape_control(end.cause));
    return text;
}

}  // namespace wsd::ctl
