// Requests and answers as tests write them, and answers taken apart.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wsserver/handshake/handshake.hpp"

namespace wsserver::test {

/// The example of RFC 6455 §1.2, field by field.
using Fields = std::vector<std::pair<std::string, std::string>>;

inline Fields example_fields() {
    return {{"Host", "server.example.com"},
            {"Upgrade", "websocket"},
            {"Connection", "Upgrade"},
            {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="},
            {"Sec-WebSocket-Version", "13"}};
}

inline std::string message_with(std::string_view first_line, const Fields& fields) {
    std::string text{first_line};
    text += "\r\n";
    for (const auto& [name, value] : fields) text += name + ": " + value + "\r\n";
    return text += "\r\n";
}

inline std::string request_with(const Fields& fields, std::string_view first_line = "GET /chat HTTP/1.1") {
    return message_with(first_line, fields);
}

inline Fields without(Fields fields, std::string_view name) {
    std::erase_if(fields, [&](const auto& field) { return field.first == name; });
    return fields;
}

inline Fields with(Fields fields, std::string name, std::string value) {
    fields.emplace_back(std::move(name), std::move(value));
    return fields;
}

/// In place of the one that is there.
inline Fields replaced(const Fields& fields, std::string name, std::string value) {
    auto others = without(fields, name);
    return with(std::move(others), std::move(name), std::move(value));
}

/// An answer as the strictest client would read it; throws if it can't be read so.
struct Answer {
    unsigned status = 0;
    Fields fields{};
    std::string body{};

    std::string find(std::string_view name) const {
        std::optional<std::string> found;
        for (const auto& [field, value] : fields) {
            if (field != name) continue;
            if (found) throw std::runtime_error{"a field is there twice: " + field};
            found = value;
        }
        return found.value_or("");
    }
};

inline Answer read_answer(std::string_view text) {
    const auto take_line = [&] {
        const auto end = text.find("\r\n");
        if (end == text.npos) throw std::runtime_error{"a line has no end"};
        const auto line = text.substr(0, end);
        if (line.find_first_of("\r\n") != line.npos) throw std::runtime_error{"half a line end"};
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
