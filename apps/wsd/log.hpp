// The daemon's log: one line an event, for people or as JSON; never holds up who writes to it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "common/config.hpp"
#include "wsserver/base/result.hpp"

namespace wsd {

/// What belongs to an event besides its words. Lives as long as the call.
struct LogField {
    std::string_view name;  ///< ours: letters and underscores
    std::variant<std::string_view, std::uint64_t, double> value;
};

/// One line of text: `key=value`, in quotes where needed. Values may come from anywhere: control characters,
/// bytes that are no UTF-8 and what turns the direction of writing around are written as `\n` or `\x1b`.
std::string text_line(std::string_view message, std::span<const LogField> fields);

/// The members of one JSON object, without its braces: `"message":"...","peer":"..."`. Bytes that are no UTF-8
/// become U+FFFD.
std::string json_members(std::string_view message, std::span<const LogField> fields);

/// All members may be called from any thread. Lines are written by a thread of the log's own; when whoever
/// takes them stands still (a full disk, a pipe nobody reads) the oldest are dropped, counted, and the count is
/// told as soon as writing works again.
class Log {
   public:
    /// An error says which file can't be opened and why.
    static wsserver::Result<std::unique_ptr<Log>, std::string> open(const LogOptions& options);
    /// close()
    ~Log();
    Log(const Log&) = delete;
    Log& operator=(const Log&) = delete;

    void write(LogLevel level, std::string_view message, std::span<const LogField> fields = {});
    void write(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
        write(level, message, std::span{fields.begin(), fields.size()});
    }
    void debug(std::string_view m, std::initializer_list<LogField> f = {}) { write(LogLevel::debug, m, f); }
    void info(std::string_view m, std::initializer_list<LogField> f = {}) { write(LogLevel::info, m, f); }
    void warning(std::string_view m, std::initializer_list<LogField> f = {}) { write(LogLevel::warning, m, f); }
    void error(std::string_view m, std::initializer_list<LogField> f = {}) { write(LogLevel::error, m, f); }

    LogLevel level() const noexcept;
    void set_level(LogLevel level) noexcept;
    bool is_on(LogLevel level) const noexcept { return level >= this->level(); }

    /// Whether reconfigure() could do that.
    static wsserver::Result<void, std::string> check(const LogOptions& options);
    /// Opens the file of that name anew (somebody has moved the old one away). If that fails the old one stays.
    wsserver::Result<void, std::string> reopen();
    /// Level, format and file; if the file can't be opened nothing changes.
    wsserver::Result<void, std::string> reconfigure(const LogOptions& options);

    /// Lines that were lost so far. Not after close().
    std::uint64_t lost() const noexcept;

    /// Writes what is still waiting, unless nobody takes it. What comes later (from a thread that a handler blocks
    /// for ever) is dropped.
    void close() noexcept;

   private:
    struct Impl;
    explicit Log(std::unique_ptr<Impl> impl);

    std::unique_ptr<Impl> impl_;
};

}  // namespace wsd
