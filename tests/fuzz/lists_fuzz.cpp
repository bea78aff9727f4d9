// The lists, tokens and authorities of HTTP fields with any bytes, compared with slow and simple versions.
#include <string>
#include <vector>

#include "fuzz_input.hpp"
#include "wsserver/handshake/detail/http_text.hpp"

using namespace wsserver;
using namespace wsserver::http_text;
using fuzz::require;
using Strings = std::vector<std::string>;

namespace {

constexpr std::string_view pieces[] = {",", ", ", ";", "; ", "=",    "\"",   "\\",  " ",     "\t",      "chat",
                                       ":", "80", "[", "]",  "::1",  "foo",  "bar", "a.b-c", "deflate", "65536",
                                       "@", "/",  "*", "%",  "\x7f", "\xc3", "0",   ".",     "10",      "permessage"};

std::string simply_trimmed(std::string text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.erase(0, 1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.pop_back();
    return text;
}

Strings simple_elements(std::string_view list) {
    Strings found{""};
    for (const char c : list) c == ',' ? void(found.emplace_back()) : void(found.back() += c);
    for (auto& element : found) element = simply_trimmed(std::move(element));
    std::erase(found, "");
    return found;
}

/// RFC 9110 §5.6.2: visible ASCII without delimiters.
bool is_simple_token(std::string_view text) {
    for (const char c : text) {
        const bool delimiter = std::string_view{"\"(),/:;<=>?@[\\]{}"}.find(c) != std::string_view::npos;
        if (c <= 0x20 || c >= 0x7F || delimiter) return false;
    }
    return !text.empty();
}

void check_list(std::string_view text) {
    const auto found = elements(text);
    const Strings copies{found.begin(), found.end()};
    require(copies == simple_elements(text), "the elements of a list");
    for (const auto element : found) require(list_names(text, lower_case(element)), "a list names its elements");
    require(is_token(text) == is_simple_token(text), "a token has no delimiters");
    require(trimmed(text) == simply_trimmed(std::string{text}), "blanks at both ends are removed");
    require(equal_without_case(text, lower_case(text)), "lower case is the same text without regard to case");
    if (is_extension_list(text)) {
        const auto twice = std::string{text} + "," + std::string{text};
        require(is_extension_list(twice), "two lists are one list");
        require(!is_extension_list(std::string{text} + ";"), "a parameter has a name");
    }
}

/// The elements of all fields of one name are those of the joined field.
void check_joined(std::string_view text, fuzz::FuzzInput cuts) {
    std::vector<HttpField> fields;
    Strings expected;
    while (!text.empty()) {
        const auto part = text.substr(0, 1 + cuts.below(20));
        text.remove_prefix(part.size());
        const bool other = cuts.flag();
        fields.push_back({other ? "Other" : "List", std::string{part}});
        if (other) continue;
        for (auto& element : simple_elements(part)) expected.push_back(std::move(element));
    }
    const auto list = joined(fields, "LIST");
    const auto found = elements(list);
    require(Strings(found.begin(), found.end()) == expected, "fields of one name are one list");
}

void check_authority(std::string_view text) {
    const auto authority = parse_authority(text);
    if (!authority) return;
    require(!authority->host.empty() && text.starts_with(authority->host), "a host is the front of its authority");
    const auto after = text.substr(authority->host.size());
    require(after.empty() || after.front() == ':', "only a port follows a host");
    require(authority->port.has_value() == (after.size() > 1), "a port has digits");
    if (authority->port) require(std::stoul(std::string{after.substr(1)}) == *authority->port, "the port's number");
    require(authority->host.find_first_of("@/?#, ") == std::string_view::npos, "a host is not a user or a path");
}

void check_field(std::string_view name, std::string_view value) {
    std::string line;
    append_field(line, name, value);
    require(line.empty() == !is_token(name), "a field has a valid name");
    if (line.empty()) return;
    require(line.find_first_of("\r\n") == line.size() - 2 && line.ends_with("\r\n"), "a field is one line");
    require(line.size() == name.size() + value.size() + 4, "a field has its name and its value");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    fuzz::FuzzInput input{{data, size}};
    const fuzz::FuzzInput cuts{input.take(20)};
    const auto text = fuzz::text_from(input, pieces);
    const fuzz::ExactCopy copy{bytes_of(text)};
    const auto exact = text_of(copy.bytes());
    check_list(exact);
    check_joined(exact, cuts);
    check_authority(exact);
    check_field(exact.substr(0, exact.find(':')), exact);
    return 0;
}
