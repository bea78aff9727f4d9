#include "wsd-ctl/connect/input_reader.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace wsd::ctl {

namespace {

/// An input without a delimiter must not take all memory.
constexpr std::size_t max_message = std::size_t{1} << 30;

}  // namespace

InputReader::InputReader(int in, bool by_line, InputFormat& format, Take take)
    : in_(in),
      by_line_(by_line),
      format_(format),
      take_(std::move(take)),
      wake_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    thread_ = std::jthread{[this](std::stop_token stop) { run(std::move(stop)); }};
}

InputReader::~InputReader() {
    thread_.request_stop();
    const std::uint64_t one = 1;
    static_cast<void>(!::write(wake_.get(), &one, sizeof one));
    thread_.join();
}

void InputReader::more() {
    const std::lock_guard lock{mutex_};
    asked_ = true;
    changed_.notify_one();
}

void InputReader::run(std::stop_token stop) {
    sigset_t all;
    sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
    while (wait_until_asked(stop)) {
        Messages read;
        while (read.messages.empty() && !read.end && !stop.stop_requested()) read = read_some();
        const bool end = read.end;
        read.cut = std::exchange(cut_, false);
        if (!stop.stop_requested()) take_(std::move(read));
        if (end) return;
    }
}

bool InputReader::wait_until_asked(std::stop_token stop) {
    std::unique_lock lock{mutex_};
    changed_.wait(lock, stop, [this] { return asked_; });
    asked_ = false;
    return !stop.stop_requested();
}

/// Waits for input or for the request to stop. May return no messages.
InputReader::Messages InputReader::read_some() {
    std::array<pollfd, 2> polled{{{in_, POLLIN, 0}, {wake_.get(), POLLIN, 0}}};
    if (::poll(polled.data(), polled.size(), -1) < 0 || polled[1].revents != 0) return {};
    std::array<char, 64 * 1024> buffer;
    const auto got = ::read(in_, buffer.data(), buffer.size());
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) return {};
    Messages result;
    if (got < 0) result.error = std::strerror(errno);
    const std::string_view bytes{buffer.data(), static_cast<std::size_t>(got > 0 ? got : 0)};
    if (by_line_ && lines_.take(bytes)) cut_ = true;
    if (!bytes.empty()) format_.take(bytes, result.messages);
    result.end = got <= 0 || format_.ended();
    if (result.end) {
        format_.finish(result.messages);
    } else if (format_.pending() > max_message) {
        result.end = true;
        result.error = "a message is longer than " + std::to_string(max_message) + " bytes";
    }
    return result;
}

}  // namespace wsd::ctl
