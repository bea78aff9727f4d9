#include "wsd/connection_log.hpp"

#include <string>
#include <vector>

#include "wsserver/protocol/error.hpp"

namespace wsd {

namespace {

using wsserver::ConnectionEnd;

std::string_view words_for(const ConnectionEnd& end) {
    if (end.opened) return "connection ended";
    return end.error.category() == wsserver::wsserver_category() ? "opening handshake refused"
                                                                 : "connection ended before it was open";
}

LogLevel level_of(const ConnectionEnd& end) {
    const bool refused = !end.opened && end.error.category() == wsserver::wsserver_category();
    return end.opened || refused ? LogLevel::info : LogLevel::debug;
}

}  // namespace

void log_end(Log& log, const ConnectionEnd& end) {
    const LogLevel level = level_of(end);
    if (!log.is_on(level)) return;
    const auto& info = end.info;
    const auto id = to_string(info.id);
    std::vector<LogField> fields{{"id", id}, {"peer", info.peer}};
    if (end.opened) {
        fields.push_back({"subprotocol", info.subprotocol});
        fields.push_back({"handler", info.handler});
    }
    fields.push_back({"duration", static_cast<double>(info.age.count()) / 1000});
    fields.push_back({"bytes_in", info.bytes_in});
    fields.push_back({"bytes_out", info.bytes_out});
    if (end.opened) {
        fields.push_back({"messages_in", info.messages_in});
        fields.push_back({"messages_out", info.messages_out});
        if (info.dropped != 0) fields.push_back({"dropped", info.dropped});
        fields.push_back({"code", std::uint64_t{static_cast<std::uint16_t>(end.code)}});
        if (!end.reason.empty() && end.reason != end.cause) fields.push_back({"reason", end.reason});
    }
    if (!end.cause.empty()) fields.push_back({"cause", end.cause});
    log.write(level, words_for(end), fields);
}

}  // namespace wsd
