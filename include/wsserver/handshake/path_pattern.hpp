// Patterns for the paths of a server: `/chat/{room}`.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "wsserver/base/result.hpp"

namespace wsserver {

/// A pattern of paths. Immutable; any thread may use it.
///
/// A path is a list of segments, each after a slash. The pattern has a segment for each of them:
///
/// literal    `chat` matches the same segment. Both are percent-decoded first: `caf%C3%A9` matches `café`. Case counts.
/// `{name}`   a parameter: matches any segment that is not empty
/// `{name...}`  the rest, only as the last segment: matches all further segments, also a single empty one
///
/// Slashes at the end count: `/chat/` has an empty last segment, and `/chat` does not match it. A parameter or rest
/// that is not valid UTF-8 after percent-decoding is not matched. Nothing else is normalised: `.` and `..` are segments
/// like any other, and a value may be `..`, contain slashes (`%2F`) or control characters. So check it before it
/// becomes a part of a file name.
class PathPattern {
   public:
    /// Parses a pattern: `/`, `/chat`, `/chat/{room}`, `/files/{path...}`. The name of a parameter has letters, digits
    /// and `_`, and does not begin with a digit. An error is one line for the user: what is wrong, and where. Write
    /// braces as `%7B` and `%7D`.
    static Result<PathPattern, std::string> parse(std::string_view text);

    /// The pattern as it was written.
    const std::string& text() const noexcept { return text_; }

    /// Whether the path of `target` matches. `target` is a path with or without a query, as a client sends it
    /// (AnyConnection::target()); the query is ignored. Walks over the target once.
    bool matches(std::string_view target) const;

    /// The value of a parameter or rest, percent-decoded; valid UTF-8. Nothing if the pattern has no such name or does
    /// not match `target`, which is as for matches().
    std::optional<std::string> parameter(std::string_view target, std::string_view name) const;

    /// The order in which patterns are tried. Compares segments from the left: literals before parameters before the
    /// rest, and literals by their bytes. It is a strict weak order. If two patterns match a path, either one is more
    /// specific, or they match the same paths.
    bool is_more_specific_than(const PathPattern& other) const noexcept;

    /// Whether the patterns match the same paths. They may differ in the names and in how literals are encoded.
    bool matches_same_paths_as(const PathPattern& other) const noexcept {
        return !is_more_specific_than(other) && !other.is_more_specific_than(*this);
    }

    /// Whether the patterns have the same names in the same places, too.
    bool operator==(const PathPattern& other) const noexcept { return segments_ == other.segments_; }

   private:
    enum class Kind : std::uint8_t { literal, parameter, rest };  // in order of specificity

    struct Segment {
        Kind kind;
        std::string text;  ///< of a literal: decoded; otherwise the name
        bool operator==(const Segment&) const = default;
    };

    PathPattern() = default;
    static std::optional<Segment> parse_segment(std::string_view written, std::string& why);
    bool has_name(std::string_view name) const noexcept;
    static bool is_before(const Segment& a, const Segment& b) noexcept;

    std::string text_;
    std::vector<Segment> segments_;
};

}  // namespace wsserver
