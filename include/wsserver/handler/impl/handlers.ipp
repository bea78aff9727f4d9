#pragma once

#include "wsserver/handler/handlers.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include "wsserver/base/descriptor.hpp"
#include "wsserver/base/shell_words.hpp"
#include "wsserver/handler/detail/trusted_file.hpp"
#include "wsserver/handler/script_handler.hpp"

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
    return text + " (use echo, broadcast, null or a path: of a shared object, such as ./rooms.so, or of a program)";
}

/// The name of a file without its folder and its extension.
std::string stem_of(std::string_view path) {
    path.remove_prefix(path.rfind('/') + 1);
    return std::string{path.substr(0, path.rfind('.'))};
}

Result<std::shared_ptr<AnyHandler>, std::string> start_script_at(const std::string& path, std::string_view config,
                                                                 HandlerLog log) {
    const auto problem = [&](const std::string& what) {
        return Unexpected{"handler '" + escape_control(path) + "': " + what};
    };
    const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (!file) return problem("it cannot be opened: " + std::system_category().message(errno));
    if (const auto trusted = check_trusted(file.get(), path); !trusted) return problem(trusted.error());
    if (::access(path.c_str(), X_OK) != 0) {
        return problem("it is not a shared object (NAME.so), and as a program it may not be executed: chmod +x");
    }
    auto started = start_script(stem_of(path), {.command = {path}}, config, std::move(log));
    if (!started) return problem(started.error());
    return started;
}

}  // namespace

bool is_shared_object(std::string_view path) noexcept {
    return path.ends_with(".so") || path.find(".so.") != std::string_view::npos;
}

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
    if (is_path(what) && is_shared_object(what)) return load_handler(std::string{what}, {}, config, std::move(log));
    if (is_path(what)) return start_script_at(std::string{what}, config, std::move(log));
    return Unexpected{unknown(what, subprotocol)};
}

}  // namespace wsserver
