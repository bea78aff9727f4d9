#pragma once

#include "wsserver/handler/handlers.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "wsserver/base/shell_words.hpp"

namespace wsserver {
namespace {

struct EchoHandler {
    void on_message(AnyConnection& connection, Text message) { connection.send(std::move(message)); }
    void on_message(AnyConnection& connection, Binary message) { connection.send(std::move(message)); }
};

struct BroadcastHandler {
    void on_message(AnyConnection& connection, Text message) { connection.publish(std::move(message)); }
    void on_message(AnyConnection& connection, Binary message) { connection.publish(std::move(message)); }
};

struct NullHandler {
    void on_message(AnyConnection&, const Text&) {}
    void on_message(AnyConnection&, const Binary&) {}
};

struct BuiltIn {
    std::string_view name;
    std::shared_ptr<AnyHandler> (*make)(std::string name);
};
constexpr std::array<BuiltIn, 3> built_in{{{"echo", make_echo}, {"broadcast", make_broadcast}, {"null", make_null}}};

bool is_path(std::string_view what) {
    return what.find('/') != std::string_view::npos || (what.ends_with(".so") && what.size() > 3);
}

std::string unknown(std::string_view what, std::string_view subprotocol) {
    std::array<std::string_view, built_in.size()> names;
    std::transform(built_in.begin(), built_in.end(), names.begin(), [](const BuiltIn& one) { return one.name; });
    std::string text = "no handler '" + escape_control(what) + "'";
    if (!subprotocol.empty()) text += " for the subprotocol " + escape_control(subprotocol);
    if (const auto near = closest_match(what, names); !near.empty())
        text += "; did you mean " + std::string{near} + "?";
    return text + " (use echo, broadcast, null or the path of a shared object, such as ./rooms.so)";
}

}  // namespace

std::shared_ptr<AnyHandler> make_echo(std::string name) { return make_handler(std::move(name), EchoHandler{}); }
std::shared_ptr<AnyHandler> make_broadcast(std::string name) {
    return make_handler(std::move(name), BroadcastHandler{});
}
std::shared_ptr<AnyHandler> make_null(std::string name) { return make_handler(std::move(name), NullHandler{}); }

Result<std::shared_ptr<AnyHandler>, std::string> make_handler_of(std::string_view what, std::string_view subprotocol,
                                                                 std::string_view config, HandlerLog log) {
    const auto found =
        std::find_if(built_in.begin(), built_in.end(), [&](const BuiltIn& one) { return one.name == what; });
    if (found != built_in.end()) return found->make(std::string{what});
    if (is_path(what)) return load_handler(std::string{what}, {}, config, std::move(log));
    return Unexpected{unknown(what, subprotocol)};
}

}  // namespace wsserver
