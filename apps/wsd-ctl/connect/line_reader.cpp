#include "wsd-ctl/connect/line_reader.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace wsd::ctl {

LineReader::LineReader(int in, std::size_t max_line, Take take)
    : in_(in), max_line_(max_line), take_(std::move(take)), wake_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    thread_ = std::jthread{[this](std::stop_token stop) { run(std::move(stop)); }};
}

LineReader::~LineReader() {
    thread_.request_stop();
    const std::uint64_t one = 1;
    static_cast<void>(!::write(wake_.get(), &one, sizeof one));
    thread_.join();
}

void LineReader::more() {
    const std::lock_guard lock{mutex_};
    asked_ = true;
    changed_.notify_one();
}

void LineReader::run(std::stop_token stop) {
    sigset_t all;
    sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
    while (wait_until_asked(stop)) {
        Lines lines;
        while (lines.lines.empty() && !lines.end && !stop.stop_requested()) lines = read_some();
        const bool end = lines.end;
        if (!stop.stop_requested()) take_(std::move(lines));
        if (end) return;
    }
}

bool LineReader::wait_until_asked(std::stop_token stop) {
    std::unique_lock lock{mutex_};
    changed_.wait(lock, stop, [this] { return asked_; });
    asked_ = false;
    return !stop.stop_requested();
}

/// Waits for input or for the request to stop. May return no lines.
LineReader::Lines LineReader::read_some() {
    std::array<pollfd, 2> polled{{{in_, POLLIN, 0}, {wake_.get(), POLLIN, 0}}};
    if (::poll(polled.data(), polled.size(), -1) < 0 || polled[1].revents != 0) return {};
    std::array<char, 64 * 1024> buffer;
    const auto got = ::read(in_, buffer.data(), buffer.size());
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) return {};
    Lines result;
    if (got <= 0) {
        result.end = true;
        if (got < 0) result.error = std::strerror(errno);
        if (!rest_.empty()) result.lines.push_back(std::move(rest_));
        return result;
    }
    std::string_view text{buffer.data(), static_cast<std::size_t>(got)};
    for (std::size_t end; (end = text.find('\n')) != std::string_view::npos; text.remove_prefix(end + 1)) {
        rest_ += text.substr(0, end);
        result.lines.push_back(std::exchange(rest_, {}));
    }
    rest_ += text;
    if (rest_.size() > max_line_) {
        result.end = true;
        result.error = "a line is longer than " + std::to_string(max_line_) + " bytes";
        rest_.clear();
    }
    return result;
}

}  // namespace wsd::ctl
