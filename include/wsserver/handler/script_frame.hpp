// The frames of the channel between a server and a script: a header line, and a payload of the length that it names.
// docs/script-channel.md describes the channel. Does no I/O.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <cstddef>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "wsserver/base/result.hpp"

namespace wsserver {

/// A frame that was received.
struct ScriptFrame {
    std::vector<std::string> words;  ///< those of the header line without the length, decoded; at least one
    std::string payload;             ///< any bytes

    bool operator==(const ScriptFrame&) const = default;
};

/// Limits of a frame that is received.
struct ScriptFrameLimits {
    std::size_t max_line = 8 * 1024;             ///< bytes of the header line
    std::size_t max_payload = 16 * 1024 * 1024;  ///< bytes
};

/// Appends a frame. The words may contain any bytes; there is at least one.
void append_script_frame(std::string& out, std::initializer_list<std::string_view> words,
                         std::string_view payload = {});
/// The same.
void append_script_frame(std::string& out, const std::vector<std::string>& words, std::string_view payload = {});

/// Takes bytes as they arrive and returns frames. After an error it is of no use any more.
class ScriptFrameReader {
   public:
    /// Frames over the limits are errors.
    explicit ScriptFrameReader(const ScriptFrameLimits& limits = {}) noexcept : limits_(limits) {}

    /// Adds bytes to what has arrived.
    void feed(std::string_view bytes) { buffer_ += bytes; }
    /// The next frame; nothing if more bytes are needed. An error is a text that says what is wrong.
    Result<std::optional<ScriptFrame>, std::string> next();
    /// Whether a part of a frame has arrived.
    bool is_within_frame() const noexcept { return header_.has_value() || at_ < buffer_.size(); }

   private:
    struct Header {
        std::vector<std::string> words;
        std::size_t size;
    };
    Result<Header, std::string> parse(std::string_view line) const;
    void drop_read() noexcept;

    ScriptFrameLimits limits_;
    std::string buffer_{};
    std::size_t at_ = 0;              ///< what was read of `buffer_`
    std::size_t searched_ = 0;        ///< there is no line end before this
    std::optional<Header> header_{};  ///< of the frame whose payload is awaited
};

}  // namespace wsserver
