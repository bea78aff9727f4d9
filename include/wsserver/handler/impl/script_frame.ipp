#pragma once

#include "wsserver/handler/script_frame.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include "wsserver/base/shell_words.hpp"
#include "wsserver/handshake/http_values.hpp"

namespace wsserver {
namespace {

/// As much of a header line as an error text shows.
std::string shown(std::string_view line) {
    constexpr std::size_t most = 60;
    return escape_control(line.substr(0, most)) + (line.size() > most ? "..." : "");
}

template <class Words>
void append_frame(std::string& out, const Words& words, std::string_view payload) {
    for (const std::string_view word : words) {
        // A word must not be empty; percent-encoding has no other form for that.
        out += word.empty() ? std::string{"%"} : percent_encoded(word);
        out += ' ';
    }
    out += std::to_string(payload.size());
    out += '\n';
    out += payload;
}

}  // namespace

void append_script_frame(std::string& out, std::initializer_list<std::string_view> words, std::string_view payload) {
    append_frame(out, words, payload);
}

void append_script_frame(std::string& out, const std::vector<std::string>& words, std::string_view payload) {
    append_frame(out, words, payload);
}

Result<std::optional<ScriptFrame>, std::string> ScriptFrameReader::next() {
    if (!header_) {
        const auto end = buffer_.find('\n', std::max(at_, searched_));
        const std::size_t size = std::min(end, buffer_.size()) - at_;
        if (size > limits_.max_line) {
            return Unexpected{"a header line has more than " + std::to_string(limits_.max_line) +
                              " bytes: " + shown(std::string_view{buffer_}.substr(at_))};
        }
        if (end == std::string::npos) {
            searched_ = buffer_.size();
            return std::optional<ScriptFrame>{};
        }
        auto header = parse(std::string_view{buffer_}.substr(at_, size));
        if (!header) return Unexpected{header.error()};
        header_ = *std::move(header);
        at_ = end + 1;
    }
    if (buffer_.size() - at_ < header_->size) return std::optional<ScriptFrame>{};
    ScriptFrame frame{std::move(header_->words), buffer_.substr(at_, header_->size)};
    at_ += header_->size;
    header_.reset();
    drop_read();
    return std::optional<ScriptFrame>{std::move(frame)};
}

Result<ScriptFrameReader::Header, std::string> ScriptFrameReader::parse(std::string_view line) const {
    const auto wrong = [&](std::string_view why) {
        return Unexpected{"header line '" + shown(line) + "': " + std::string{why}};
    };
    const auto last = line.rfind(' ');
    const std::string_view digits = line.substr(last + 1);
    std::size_t size = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), size);
    const bool is_number = error == std::errc{} && end == digits.data() + digits.size();
    if (last == std::string_view::npos || (!is_number && error != std::errc::result_out_of_range)) {
        return wrong("it must end with the length of the payload: WORD ... LENGTH");
    }
    if (!is_number || size > limits_.max_payload) {
        return wrong("the payload has more than " + std::to_string(limits_.max_payload) + " bytes");
    }
    Header header{{}, size};
    for (std::string_view rest = line.substr(0, last);;) {
        const auto word = rest.substr(0, rest.find(' '));
        if (word.empty()) return wrong("its words are separated by one blank each");
        auto decoded = word == "%" ? std::string{} : percent_decoded(word);
        if (!decoded) return wrong("a % must be followed by two hexadecimal digits");
        header.words.push_back(*std::move(decoded));
        if (word.size() == rest.size()) return header;
        rest.remove_prefix(word.size() + 1);
    }
}

/// Frees what was read, but not with each small frame.
void ScriptFrameReader::drop_read() noexcept {
    if (at_ == buffer_.size()) {
        constexpr std::size_t kept = 64 * 1024;
        buffer_.clear();
        if (buffer_.capacity() > kept) std::string{}.swap(buffer_);
        at_ = 0;
    } else if (at_ > buffer_.size() / 2) {
        buffer_.erase(0, at_);
        at_ = 0;
    }
    searched_ = at_;
}

}  // namespace wsserver
