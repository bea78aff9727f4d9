// Writes HTTP requests and responses for tests, and parses responses.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wsserver/handshake/handshake.hpp"

namespace wsserver::test {

/// Names and values of header fields.
using Fields = std::vector<std::pair<std::string, std::string>>;

/// The required fields of the example in RFC 6455 §1.2.
inline Fields example_fields() {
    return {{"Host", "server.example.com"},
            {"Upgrade", "websocket"},
            {"Connection", "Upgrade"},
            {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="},
            {"Sec-WebSocket-Version", "13"}};
}

/// A header with these fields.
inline std::string message_with(std::string_view first_line, const Fields& fields) {
    std::string text{first_line};
    text += "\r\n";
    for (const auto& [name, value] : fields) text += name + ": " + value + "\r\n";
    return text += "\r\n";
}

inline std::string request_with(const Fields& fields, std::string_view first_line = "GET /chat HTTP/1.1") {
    return message_with(first_line, fields);
}

/// `fields` without those of this name.
inline Fields without(Fields fields, std::string_view name) {
    std::erase_if(fields, [&](const auto& field) { return field.first == name; });
    return fields;
}

/// `fields` and one more at the end.
inline Fields with(Fields fields, std::string name, std::string value) {
    fields.emplace_back(std::move(name), std::move(value));
    return fields;
}

/// `fields` with this value instead of the previous one. The field moves to the end.
inline Fields replaced(const Fields& fields, std::string name, std::string value) {
    auto others = without(fields, name);
    return with(std::move(others), std::move(name), std::move(value));
}

/// The parts of a response.
struct Answer {
    unsigned status = 0;
    Fields fields{};
    std::string body{};

    /// The value of a field; empty if there is none. Throws std::runtime_error if there are two.
    std::string find(std::string_view name) const {
        std::optional<std::string> found;
        for (const auto& [field, value] : fields) {
            if (field != name) continue;
            if (found) throw std::runtime_error{"a field is repeated: " + field};
            found = value;
        }
        return found.value_or("");
    }
};

/// Parses a response like the strictest client. Throws std::runtime_error if it is malformed.
inline Answer read_answer(std::string_view text) {
    const auto take_line = [&] {
        const auto end = text.find("\r\n");
        if (end == text.npos) throw std::runtime_error{"a line has no end"};
        const auto line = text.substr(0, end);
        if (line.find_first_of("\r\n") != line.npos) throw std::runtime_error{"CR without LF or LF without CR"};
        text.remove_prefix(end + 2);
        return line;
    };
    Answer answer;
    const auto status_line = take_line();
    if (!status_line.starts_with("HTTP/1.1 ") || status_line.size() < 13 || status_line[12] != ' ') {
        throw std::runtime_error{"not a status line: " + std::string{status_line}};
    }
    answer.status = static_cast<unsigned>(std::stoul(std::string{status_line.substr(9, 3)}));
    for (auto line = take_line(); !line.empty(); line = take_line()) {
        const auto colon = line.find(": ");
        if (colon == line.npos) throw std::runtime_error{"not a field: " + std::string{line}};
        answer.fields.emplace_back(line.substr(0, colon), line.substr(colon + 2));
    }
    answer.body = text;
    return answer;
}

}  // namespace wsserver::test
