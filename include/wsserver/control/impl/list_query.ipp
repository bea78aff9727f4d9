#pragma once

#include "wsserver/control/detail/list_query.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "wsserver/control/detail/report_format.hpp"
#include "wsserver/control/text_format.hpp"

namespace wsserver {

namespace {

struct SortKey {
    std::string_view name;
    bool (*before)(const ConnectionInfo& a, const ConnectionInfo& b);
};

/// Texts in alphabetical order, numbers from the largest: an operator looks for the oldest, the silent, the full.
constexpr std::array sort_keys{
    SortKey{"id", [](const auto& a, const auto& b) { return a.id < b.id; }},
    SortKey{"peer", [](const auto& a, const auto& b) { return a.peer < b.peer; }},
    SortKey{"subprotocol", [](const auto& a, const auto& b) { return a.subprotocol < b.subprotocol; }},
    SortKey{"handler", [](const auto& a, const auto& b) { return a.handler < b.handler; }},
    SortKey{"state", [](const auto& a, const auto& b) { return a.state < b.state; }},
    SortKey{"age", [](const auto& a, const auto& b) { return a.age > b.age; }},
    SortKey{"idle", [](const auto& a, const auto& b) { return a.idle > b.idle; }},
    SortKey{"rtt", [](const auto& a, const auto& b) { return a.round_trip > b.round_trip; }},
    SortKey{"messages", [](const auto& a,
                           const auto& b) { return a.messages_in + a.messages_out > b.messages_in + b.messages_out; }},
    SortKey{"bytes", [](const auto& a, const auto& b) { return a.bytes_in + a.bytes_out > b.bytes_in + b.bytes_out; }},
    SortKey{"queued", [](const auto& a, const auto& b) { return a.queued > b.queued; }},
    SortKey{"dropped", [](const auto& a, const auto& b) { return a.dropped > b.dropped; }},
};

/// The address of `HOST:PORT` or `[HOST]:PORT`, without brackets; that of a Unix socket is the whole text.
std::string_view address_in(std::string_view peer) noexcept {
    if (peer.starts_with("unix:")) return peer;
    peer = peer.substr(0, peer.rfind(':'));
    if (peer.size() > 1 && peer.front() == '[' && peer.back() == ']') return peer.substr(1, peer.size() - 2);
    return peer;
}

bool is_from(std::string_view wanted, std::string_view peer) noexcept {
    if (wanted == peer) return true;
    const bool has_brackets = wanted.size() > 1 && wanted.front() == '[' && wanted.back() == ']';
    return (has_brackets ? wanted.substr(1, wanted.size() - 2) : wanted) == address_in(peer);
}

bool is_selected(const ConnectionInfo& info, const ListQuery& query) noexcept {
    if (query.subprotocol && *query.subprotocol != info.subprotocol) return false;
    if (query.handler && *query.handler != info.handler) return false;
    return !query.peer || is_from(*query.peer, info.peer);
}

std::optional<std::string> option_of(const Invocation& line, std::string_view name) {
    const auto value = line.value(name);
    return value ? std::optional<std::string>{*value} : std::nullopt;
}

Result<std::size_t, std::string> limit_of(std::string_view word) {
    std::size_t number = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
    if (error == std::errc{} && end == word.data() + word.size() && number > 0) return number;
    return Unexpected{fmt::format("--limit {}: expected a number of connections, 1 or more", quoted_word(word))};
}

}  // namespace

std::string sort_keys_in_words() {
    std::string words;
    for (const SortKey& key : sort_keys) words.append(words.empty() ? "" : ", ").append(key.name);
    return words;
}

Result<ListQuery, std::string> parse_list_query(const Invocation& line) {
    ListQuery query;
    query.subprotocol = option_of(line, "--subprotocol");
    if (query.subprotocol == default_handler) query.subprotocol = "";
    query.handler = option_of(line, "--handler");
    query.peer = option_of(line, "--peer");
    query.reverse = line.has("--reverse");
    if (const auto word = line.value("--sort")) {
        const auto* const key =
            std::find_if(sort_keys.begin(), sort_keys.end(), [&word](const SortKey& one) { return one.name == *word; });
        if (key == sort_keys.end()) {
            return Unexpected{fmt::format("--sort {}: expected one of {}", quoted_word(*word), sort_keys_in_words())};
        }
        query.before = key->before;
    }
    if (const auto word = line.value("--limit")) {
        const auto limit = limit_of(*word);
        if (!limit) return Unexpected{limit.error()};
        query.limit = *limit;
    }
    return query;
}

std::vector<ConnectionInfo> select_connections(std::vector<ConnectionInfo> all, const ListQuery& query) {
    std::erase_if(all, [&query](const ConnectionInfo& info) { return !is_selected(info, query); });
    if (query.before != nullptr) std::stable_sort(all.begin(), all.end(), query.before);
    if (query.reverse) std::reverse(all.begin(), all.end());
    return all;
}

}  // namespace wsserver
