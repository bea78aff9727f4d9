// Reads single values of the configuration from text, checks them, and writes them as TOML.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/config.hpp"
#include "common/units.hpp"
#include "wsserver/base/result.hpp"

namespace wsd {

/// An error says what is wrong with the text and what is expected.
using Done = wsserver::Result<void, std::string>;
using Values = std::span<const std::string>;
using Pairs = std::map<std::string, std::string>;

/// `text` as a TOML string.
std::string quoted(std::string_view text);
/// `text` in backquotes, for a message.
std::string as_code(std::string_view text);

Done assign_time(std::chrono::milliseconds& value, const std::string& text, std::chrono::milliseconds least);
Done assign_size(std::uint64_t& value, const std::string& text, std::uint64_t least, std::uint64_t most);
Done assign_number(std::size_t& value, const std::string& text, std::size_t least, std::size_t most);
Done assign_boolean(bool& value, const std::string& text);
Done assign_origins(std::vector<std::string>& origins, Values values);
Done assign_hosts(std::vector<std::string>& hosts, Values values);
Done assign_proxies(std::vector<std::string>& proxies, Values values);
Done assign_commands(std::vector<std::string>& commands, Values values);
Done assign_endpoints(std::vector<std::string>& endpoints, Values values);
Done take_handler(Pairs& handlers, const std::string& subprotocol, const std::string& what);
Done take_handler_config(Pairs& configs, const std::string& subprotocol, const std::string& text);
/// Accepts what can be the value of an HTTP field (RFC 9110 §5.5).
Done check_field_value(const std::string& text);
Done check_field_name(const std::string& text);
/// Accepts the name of a built-in handler, and everything that can only be a file.
Done check_handler(const std::string& what);

std::string print_list(const std::vector<std::string>& list);
std::string print_pairs(const Pairs& pairs);

template <class E>
using Words = std::span<const std::pair<std::string_view, E>>;

template <class E>
Done assign_word(E& value, const std::string& text, Words<E> words) {
    std::string all;
    for (const auto& [word, meaning] : words) {
        if (word == text) {
            value = meaning;
            return {};
        }
        all += (all.empty() ? "" : ", ") + std::string{word};
    }
    return wsserver::Unexpected{as_code(text) + " is not one of " + all};
}

template <class E>
std::string print_word(E value, Words<E> words) {
    const auto found = std::find_if(words.begin(), words.end(), [&](const auto& w) { return w.second == value; });
    return quoted(found == words.end() ? std::string_view{} : found->first);
}

}  // namespace wsd
