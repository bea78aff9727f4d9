#pragma once

#include "wsserver/protocol/event_text.hpp"

#include <algorithm>

namespace wsserver {

namespace {

bool is_printable_ascii(Bytes payload) noexcept {
    return std::all_of(payload.begin(), payload.end(), [](std::uint8_t byte) { return byte >= 0x20 && byte < 0x7F; });
}

std::string readable_payload(Bytes payload) {
    if (is_printable_ascii(payload)) return std::string{text_of(payload)};
    static constexpr char digits[] = "0123456789abcdef";
    std::string text;
    for (const std::uint8_t byte : payload) {
        if (!text.empty()) text += ' ';
        text += {digits[byte >> 4], digits[byte & 0xF]};
    }
    return text;
}

std::string event_line(std::string word, std::string_view rest) {
    if (!rest.empty()) word.append(1, ' ').append(rest);
    return word;
}

std::string part_line(const Part& part) {
    std::string words = part.first ? "first" : "";
    if (part.last) words += words.empty() ? "last" : " and last";
    words = event_line("part", words);
    return event_line(words, part.opcode == Opcode::text ? text_of(part.bytes) : readable_payload(part.bytes));
}

}  // namespace

std::string to_string(const Event& event) {
    return std::visit(overloaded{
                          [](const Text& m) { return event_line("text", m.text); },
                          [](const Binary& m) { return event_line("binary", readable_payload(m.bytes)); },
                          [](const Close& m) {
                              return event_line("close " + std::to_string(static_cast<unsigned>(m.code)), m.reason);
                          },
                          [](const Ping& m) { return event_line("ping", readable_payload(m.payload)); },
                          [](const Pong& m) { return event_line("pong", readable_payload(m.payload)); },
                          [](const Failed& m) { return event_line("failed", message_of(m.error)); },
                          [](const Part& m) { return part_line(m); },
                      },
                      event);
}

}  // namespace wsserver
