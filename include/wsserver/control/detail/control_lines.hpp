// Commands as lines on one descriptor, answers on another: `--control-stdin` uses stdin and stdout like this.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "wsserver/control/command.hpp"

namespace wsserver {

/// Never blocks, even if the descriptors are blocking: it reads and writes only after poll(). While an answer has not
/// been read, no further command of this client is executed; others need not wait for it.
class ControlLines {
   public:
    using Execute = std::function<Answer(std::string_view line)>;

    ControlLines(int in, int out) : in_(in), out_(out) {}

    /// The descriptor to poll; -1: none.
    int wants_to_read() const noexcept { return output_.empty() ? in_ : -1; }
    int wants_to_write() const noexcept { return output_.empty() ? -1 : out_; }

    /// `in` is readable, or is at its end.
    void on_readable(const Execute& execute);
    /// Writes the rest of an answer, then executes the commands that waited for that.
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
