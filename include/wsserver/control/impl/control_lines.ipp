#pragma once

#include "wsserver/control/detail/control_lines.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>

namespace wsserver {

namespace {

/// A longer line is rejected, and its rest is skipped.
constexpr std::size_t max_input_line = 64 * 1024;

bool is_blank_line(std::string_view line) { return line.find_first_not_of(" \t\r") == std::string_view::npos; }

}  // namespace

void ControlLines::on_readable(const Execute& execute) {
    std::array<char, 4096> buffer;
    const auto got = ::read(in_, buffer.data(), buffer.size());
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (got <= 0) {
        in_ = -1;
        if (!skipping_ && !input_.empty()) take_line(input_, execute);  // the last line may lack its newline
        input_.clear();
        return;
    }
    input_.append(buffer.data(), static_cast<std::size_t>(got));
    take_lines(execute);
}

/// Executes complete lines, as long as their answers are read.
void ControlLines::take_lines(const Execute& execute) {
    for (std::size_t end; output_.empty() && (end = input_.find('\n')) != std::string::npos;) {
        const std::string line = input_.substr(0, end);
        input_.erase(0, end + 1);  // first: without memory for its answer, it is not executed again
        if (!std::exchange(skipping_, false)) take_line(line, execute);
    }
    if (output_.empty() && input_.size() > max_input_line) {
        if (!std::exchange(skipping_, true)) {
            put(Answer::failed(CommandErrc::usage,
                               "the line is longer than 65536 bytes: send long texts through the spool"));
        }
        input_.clear();
    }
}

void ControlLines::take_line(std::string_view line, const Execute& execute) {
    if (!is_blank_line(line)) put(execute(line));
}

void ControlLines::put(const Answer& answer) {
    if (out_ < 0 || !answer.wanted) return;
    const auto text = to_text(answer);
    // An empty line ends an answer, so an empty line in the output gets a blank.
    char last = '\0';
    for (const char c : text) {
        if (c == '\n' && last == '\n') output_ += ' ';
        output_ += c;
        last = c;
    }
    output_ += last == '\n' ? "\n" : "\n\n";
    pollfd ready{out_, POLLOUT, 0};
    if (::poll(&ready, 1, 0) == 1) write();
}

void ControlLines::on_writable(const Execute& execute) {
    write();
    take_lines(execute);
}

void ControlLines::write() {
    // After POLLOUT a pipe accepts PIPE_BUF bytes without blocking.
    const std::string_view left = std::string_view{output_}.substr(written_, PIPE_BUF);
    const auto written = ::write(out_, left.data(), left.size());
    if (written >= 0) {
        written_ += static_cast<std::size_t>(written);
    } else if (errno != EINTR && errno != EAGAIN) {
        // The reader is gone. Commands are still executed.
        out_ = -1;
        written_ = output_.size();
    }
    if (written_ < output_.size()) return;
    output_.clear();
    written_ = 0;
}

}  // namespace wsserver
