// Commands as lines on one descriptor, answers on another: what `--control-stdin` makes of stdin and stdout.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "wsserver/control/command.hpp"

namespace wsserver {

/// Never waits, though the descriptors may be blocking: it reads and writes only when poll() has said so. Whoever
/// doesn't read his answers gets no further commands executed, and nobody else has to wait for him.
class ControlLines {
   public:
    using Execute = std::function<Answer(std::string_view line)>;

    ControlLines(int in, int out) : in_(in), out_(out) {}

    /// What to poll for; -1: nothing.
    int wants_to_read() const noexcept { return output_.empty() ? in_ : -1; }
    int wants_to_write() const noexcept { return output_.empty() ? -1 : out_; }

    /// `in` is readable, or has ended.
    void on_readable(const Execute& execute);
    /// Executes what waited for its turn behind an answer.
    void on_writable(const Execute& execute);

   private:
    void take_lines(const Execute& execute);
    void take_line(std::string_view line, const Execute& execute);
    void put(const Answer& answer);
    void write();

    int in_;
    int out_;
    std::string input_{};
    bool skipping_ = false;  ///< the rest of a line that was too long
    std::string output_{};
    std::size_t written_ = 0;  ///< of it
};

}  // namespace wsserver
