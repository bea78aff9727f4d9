// Lists of lines, words and events, which most tests compare.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace wsserver::test {

using Strings = std::vector<std::string>;

/// Whether `text` contains `part`.
inline bool has(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

}  // namespace wsserver::test
