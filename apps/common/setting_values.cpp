#include "common/setting_values.hpp"

#include <algorithm>
#include <charconv>

#include "wsserver/base/shell_words.hpp"
#include "wsserver/control/command.hpp"
#include "wsserver/handshake/origin.hpp"
#include "wsserver/handshake/proxies.hpp"
#include "wsserver/transport/endpoint.hpp"

namespace wsd {

namespace {

using wsserver::Unexpected;

/// The names of subprotocols (RFC 6455 §4.1) and of header fields are HTTP tokens.
bool is_token(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
        return c > 0x20 && c < 0x7f &&
               std::string_view{"()<>@,;:\\\"/[]?={}"}.find(static_cast<char>(c)) == std::string_view::npos;
    });
}

}  // namespace

std::string quoted(std::string_view text) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    std::string result = "\"";
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            result += {'\\', c};
        } else if (byte < 0x20 || byte == 0x7f) {
            result += {'\\', 'u', '0', '0', digits[byte >> 4], digits[byte & 15]};
        } else {
            result += c;
        }
    }
    return result + "\"";
}

std::string as_code(std::string_view text) { return "`" + std::string{text} + "`"; }

Done assign_time(std::chrono::milliseconds& value, const std::string& text, std::chrono::milliseconds least) {
    const auto time = parse_time(text);
    if (!time) return Unexpected{time.error()};
    if (*time < least) return Unexpected{as_code(text) + " is too short: the minimum is " + print_time(least)};
    value = *time;
    return {};
}

Done assign_size(std::uint64_t& value, const std::string& text, std::uint64_t least, std::uint64_t most) {
    const auto size = parse_size(text);
    if (!size) return Unexpected{size.error()};
    if (*size < least) return Unexpected{as_code(text) + " is too small: the minimum is " + print_size(least)};
    if (*size > most) return Unexpected{as_code(text) + " is too large: the maximum is " + print_size(most)};
    value = *size;
    return {};
}

Done assign_number(std::size_t& value, const std::string& text, std::size_t least, std::size_t most) {
    std::size_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size() || number < least || number > most) {
        return Unexpected{as_code(text) + " is not a whole number from " + std::to_string(least) + " to " +
                          std::to_string(most)};
    }
    value = number;
    return {};
}

Done assign_boolean(bool& value, const std::string& text) {
    if (text == "true" || text == "1" || text == "yes" || text == "on") return value = true, Done{};
    if (text == "false" || text == "0" || text == "no" || text == "off") return value = false, Done{};
    return Unexpected{as_code(text) + " is neither true nor false"};
}

Done check_handler(const std::string& what) {
    constexpr std::array<std::string_view, 3> built_in{"echo", "broadcast", "null"};
    if (std::find(built_in.begin(), built_in.end(), what) != built_in.end()) return {};
    if (what.find('/') != std::string::npos || what.find(".so") != std::string::npos) return {};
    const auto meant = wsserver::closest_match(what, built_in);
    return Unexpected{as_code(what) + " is not a handler" +
                      (meant.empty() ? ". " : "; did you mean " + as_code(meant) + "? ") +
                      "Built in are echo, broadcast and null; name a shared object by its path or as NAME.so"};
}

Done take_handler(Pairs& handlers, const std::string& subprotocol, const std::string& what) {
    if (!is_token(subprotocol)) {
        return Unexpected{as_code(subprotocol) +
                          " cannot be a subprotocol name: use letters, digits and !#$%&'*+-.^_`|~"};
    }
    if (auto fine = check_handler(what); !fine) return fine;
    handlers.insert_or_assign(subprotocol, what);
    return {};
}

Done take_handler_config(Pairs& configs, const std::string& subprotocol, const std::string& text) {
    configs.insert_or_assign(subprotocol, text);
    return {};
}

Done assign_origins(std::vector<std::string>& origins, Values values) {
    for (const std::string& value : values) {
        if (wsserver::is_origin(value)) continue;
        if (value.find('*') != std::string::npos) {
            return Unexpected{as_code(value) +
                              " is not an origin: `*` can only be the first label of the host, as in "
                              "https://*.example.org, or all of the value"};
        }
        return Unexpected{
            as_code(value) +
            " is not an origin: write https://example.org, with a port unless it is the default of the scheme, without "
            "a path, or *"};
    }
    origins.assign(values.begin(), values.end());
    return {};
}

Done check_field_value(const std::string& text) {
    const auto is_control = [](unsigned char c) { return c < ' ' || c == 0x7f; };
    if (std::ranges::none_of(text, is_control)) return {};
    return Unexpected{std::string{"it has control characters, which no field of HTTP may have"}};
}

Done assign_hosts(std::vector<std::string>& hosts, Values values) {
    for (const std::string& value : values) {
        if (wsserver::is_host_name(value)) continue;
        return Unexpected{as_code(value) +
                          " is not a host: write www.example.org or *.example.org, without a scheme and a port, or *"};
    }
    hosts.assign(values.begin(), values.end());
    return {};
}

Done assign_proxies(std::vector<std::string>& proxies, Values values) {
    std::vector<std::string> entries(values.begin(), values.end());
    const auto parsed = wsserver::TrustedProxies::parse(entries);
    if (!parsed) return Unexpected{parsed.error()};
    proxies = std::move(entries);
    return {};
}

Done check_field_name(const std::string& text) {
    if (is_token(text)) return {};
    return Unexpected{as_code(text) + " is not the name of a header field, such as X-Forwarded-For"};
}

Done assign_commands(std::vector<std::string>& commands, Values values) {
    std::vector<std::string_view> known;
    for (const auto& command : wsserver::commands()) known.push_back(command.name);
    for (const std::string& value : values) {
        if (std::find(known.begin(), known.end(), value) != known.end()) continue;
        const auto meant = wsserver::closest_match(value, known);
        return Unexpected{as_code(value) + " is not a command" +
                          (meant.empty() ? "" : "; did you mean " + as_code(meant) + "?") +
                          " `wsd-ctl help` lists them"};
    }
    commands.assign(values.begin(), values.end());
    return {};
}

Done assign_endpoints(std::vector<std::string>& endpoints, Values values) {
    std::vector<wsserver::Endpoint> before;
    if (std::ranges::count(values, "systemd") > 1) return Unexpected{quoted("systemd") + " is listed twice"};
    for (const std::string& value : values) {
        if (value == "systemd") continue;  // see Server::listen()
        const auto endpoint = wsserver::parse_endpoint(value);
        if (!endpoint) return Unexpected{endpoint.error()};
        const bool again = std::find(before.begin(), before.end(), *endpoint) != before.end();
        if (again && (endpoint->is_unix() || endpoint->port != 0))
            return Unexpected{quoted(value) + " is listed twice"};
        before.push_back(*endpoint);
    }
    endpoints.assign(values.begin(), values.end());
    return {};
}

std::string print_list(const std::vector<std::string>& list) {
    std::string text;
    for (const auto& entry : list) text += (text.empty() ? "" : ", ") + quoted(entry);
    return "[" + text + "]";
}

std::string print_pairs(const Pairs& all) {
    std::string text;
    for (const auto& [name, value] : all) text += (text.empty() ? " " : ", ") + quoted(name) + " = " + quoted(value);
    return "{" + text + (text.empty() ? "}" : " }");
}

}  // namespace wsd
