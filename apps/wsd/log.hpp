// The daemon's log: one line for each event, as text or JSON. Writing to it never blocks.
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

/// A value of an event. Views are used during the call only.
struct LogField {
    std::string_view name;  ///< letters and underscores
    std::variant<std::string_view, std::uint64_t, double> value;
};

/// One line: the message and `key=value` pairs, quoted where needed. Values may come from anywhere: control characters,
/// bytes that are not UTF-8 and characters that change the writing direction are written as `\n`, `\x1b` or `\u202e`.
std::string text_line(std::string_view message, std::span<const LogField> fields);

/// The members of a JSON object without its braces: `"message":"...","peer":"..."`. Strings are written by the rules of
/// wsserver::json_string().
std::string json_members(std::string_view message, std::span<const LogField> fields);

/// Whether stderr is the journal of systemd. `journal_stream` is JOURNAL_STREAM of the environment, `DEVICE:INODE` of
/// the journal's socket. It may be inherited by a process whose stderr goes elsewhere, so it is compared with stderr.
bool stderr_is_journal(const std::string& journal_stream);

/// The beginning of a line for the journal, with the priority of syslog(3): `<3>` for an error, `<7>` for debug.
std::string_view journal_prefix(LogLevel level) noexcept;

/// For any thread. The log's own thread writes the lines. If the destination does not accept them (a full disk, a pipe
/// without a reader) the oldest lines are dropped and counted. The count is logged when writing works again.
class Log {
   public:
    /// An error says which file cannot be opened and why. If a full disk is the reason, lines go to stderr, with a
    /// warning, until reopen() or reconfigure() can create the file. With `journal`, lines on stderr have the priority
    /// in front and no time, since the journal has both for each line.
    static wsserver::Result<std::unique_ptr<Log>, std::string> open(const LogOptions& options, bool journal = false);
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

    /// Checks whether reconfigure() would change nothing. An error says why. Creates the file if it does not exist.
    wsserver::Result<void, std::string> check(const LogOptions& options) const;
    /// Opens the file again, after it has been renamed for rotation. If that fails the old one stays open.
    wsserver::Result<void, std::string> reopen();
    /// Sets level, format and file. If the file cannot be opened nothing changes. If a full disk is the reason, or if
    /// the file has not changed (wsd may have lost the right to create it), level and format change, and only the lines
    /// stay where they went. That is an error, too.
    wsserver::Result<void, std::string> reconfigure(const LogOptions& options);

    /// How many lines have been lost so far. Not after close().
    std::uint64_t lost() const noexcept;

    /// Writes the queued lines, for at most 2 s. Later lines (from a thread that a handler blocks forever) are dropped.
    void close() noexcept;

   private:
    struct Impl;
    explicit Log(std::unique_ptr<Impl> impl) noexcept;

    std::unique_ptr<Impl> impl_;
};

}  // namespace wsd
