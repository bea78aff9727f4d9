// Parses path patterns, explains what is wrong with them, and matches paths.
#pragma once

#include "wsserver/handshake/path_pattern.hpp"

#include <algorithm>
#include <utility>

#include "wsserver/base/bytes.hpp"
#include "wsserver/base/shell_words.hpp"
#include "wsserver/base/utf8.hpp"
#include "wsserver/handshake/http_values.hpp"

namespace wsserver {
namespace {

/// Nothing if the escapes are malformed, or if the text is not valid UTF-8.
std::optional<std::string> decoded_segment(std::string_view encoded) {
    auto decoded = percent_decoded(encoded);
    if (decoded && !is_valid_utf8(bytes_of(*decoded))) return std::nullopt;
    return decoded;
}

/// Removes the first segment, and the slash before it, from `path`. Precondition: it begins with a slash.
std::string_view take_segment(std::string_view& path) noexcept {
    path.remove_prefix(1);
    const auto segment = path.substr(0, path.find('/'));
    path.remove_prefix(segment.size());
    return segment;
}

bool is_parameter_name(std::string_view text) noexcept {
    const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
    return !text.empty() && is_letter(text.front()) &&
           std::ranges::all_of(text, [&](char c) { return is_letter(c) || (c >= '0' && c <= '9'); });
}

}  // namespace

/// Returns nothing and sets `why` if the segment is not valid.
std::optional<PathPattern::Segment> PathPattern::parse_segment(std::string_view written, std::string& why) {
    const std::string quoted = "'" + escape_control(written) + "' ";
    if (written.find_first_of("{}") == std::string_view::npos) {
        if (auto literal = decoded_segment(written)) return Segment{Kind::literal, *std::move(literal)};
        why = quoted + "is not valid: after % there must be two hexadecimal digits, and the text must be UTF-8";
        return std::nullopt;
    }
    const bool is_whole = written.size() >= 2 && written.front() == '{' && written.find('}') == written.size() - 1 &&
                          written.rfind('{') == 0;
    if (!is_whole) {
        why = quoted + "is not valid: a parameter is a whole segment, as in /{name}/; write { and } as %7B and %7D";
        return std::nullopt;
    }
    std::string_view name = written.substr(1, written.size() - 2);
    const bool is_rest = name.ends_with("...");
    if (is_rest) name.remove_suffix(3);
    if (!is_parameter_name(name)) {
        why = quoted + "is not valid: a name has letters, digits and _, and does not begin with a digit";
        return std::nullopt;
    }
    return Segment{is_rest ? Kind::rest : Kind::parameter, std::string{name}};
}

Result<PathPattern, std::string> PathPattern::parse(std::string_view text) {
    const auto problem = [text](std::string_view why) {
        return Unexpected{"path pattern '" + escape_control(text) + "': " + std::string{why}};
    };
    if (!text.starts_with('/')) return problem("it must begin with / (example: /chat/{room})");
    if (text.find_first_of("?#") != std::string_view::npos) {
        return problem("it must not have a query or a fragment; write ? and # as %3F and %23");
    }
    PathPattern pattern;
    pattern.text_ = text;
    for (std::string_view rest = text; !rest.empty();) {
        std::string why;
        auto segment = parse_segment(take_segment(rest), why);
        if (!segment) return problem(why);
        if (segment->kind == Kind::rest && !rest.empty()) {
            return problem("{" + segment->text + "...} must be the last segment");
        }
        if (segment->kind != Kind::literal && pattern.has_name(segment->text)) {
            return problem("the name '" + segment->text + "' is used twice");
        }
        pattern.segments_.push_back(*std::move(segment));
    }
    return pattern;
}

bool PathPattern::has_name(std::string_view name) const noexcept {
    return std::ranges::any_of(
        segments_, [name](const Segment& segment) { return segment.kind != Kind::literal && segment.text == name; });
}

bool PathPattern::matches(std::string_view target) const {
    std::string_view path = path_of(target);
    for (const Segment& segment : segments_) {
        if (!path.starts_with('/')) return false;  // the path has fewer segments
        if (segment.kind == Kind::rest) return decoded_segment(path.substr(1)).has_value();
        const auto received = take_segment(path);
        if (segment.kind == Kind::parameter) {
            if (received.empty() || !decoded_segment(received)) return false;
        } else if (received != segment.text || received.find('%') != std::string_view::npos) {
            if (decoded_segment(received) != segment.text) return false;
        }
    }
    return path.empty();
}

std::optional<std::string> PathPattern::parameter(std::string_view target, std::string_view name) const {
    if (!has_name(name) || !matches(target)) return std::nullopt;
    std::string_view path = path_of(target);
    for (const Segment& segment : segments_) {
        const std::string_view rest = path.substr(1);
        const std::string_view received = take_segment(path);
        if (segment.kind == Kind::literal || segment.text != name) continue;
        return decoded_segment(segment.kind == Kind::rest ? rest : received);
    }
    return std::nullopt;
}

bool PathPattern::is_before(const Segment& a, const Segment& b) noexcept {
    if (a.kind != b.kind) return a.kind < b.kind;
    return a.kind == Kind::literal && a.text < b.text;  // names do not count
}

bool PathPattern::is_more_specific_than(const PathPattern& other) const noexcept {
    return std::lexicographical_compare(segments_.begin(), segments_.end(), other.segments_.begin(),
                                        other.segments_.end(), is_before);
}

}  // namespace wsserver
