#pragma once

#include "wsserver/handler/handler_trial.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <system_error>

#include "wsserver/base/descriptor.hpp"
#include "wsserver/handler/detail/spawn.hpp"

namespace wsserver {
namespace {

/// Enough of what the program says. The last line is the reason.
constexpr std::size_t trial_output_kept = 4096;

using TrialClock = std::chrono::steady_clock;

/// A process that is killed if it still runs at the end.
class TrialProcess {
   public:
    explicit TrialProcess(pid_t process) noexcept
        : process_(process), end_(static_cast<int>(::syscall(SYS_pidfd_open, process, 0))) {}
    TrialProcess(const TrialProcess&) = delete;
    TrialProcess& operator=(const TrialProcess&) = delete;
    ~TrialProcess() {
        if (!status_) kill();
    }

    /// Readable when the process has ended; negative on kernels without it.
    int end_descriptor() const noexcept { return end_.get(); }
    /// Waits for the end.
    int wait() noexcept {
        int status = 0;
        while (::waitpid(process_, &status, 0) < 0 && errno == EINTR) {
        }
        return status_.emplace(status);
    }
    void kill() noexcept {
        ::kill(process_, SIGKILL);
        wait();
    }

   private:
    const pid_t process_;
    const Descriptor end_;
    std::optional<int> status_;
};

/// A file in memory that contains `text`.
Descriptor file_with(std::string_view text) {
    Descriptor file{::memfd_create("config", MFD_CLOEXEC)};
    while (file && !text.empty()) {
        const ssize_t count = ::write(file.get(), text.data(), text.size());
        if (count < 0 && errno != EINTR) return {};
        text.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    }
    if (file) ::lseek(file.get(), 0, SEEK_SET);
    return file;
}

Result<pid_t, std::string> spawn_trial(std::vector<std::string> command, int input, int errors) {
    detail::SpawnActions actions;
    ::posix_spawn_file_actions_adddup2(&actions.actions, input, STDIN_FILENO);
    ::posix_spawn_file_actions_addopen(&actions.actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    ::posix_spawn_file_actions_adddup2(&actions.actions, errors, STDERR_FILENO);
    const detail::SpawnAttributes attributes;
    const auto words = detail::pointers_to(command);
    pid_t process = 0;
    const int error =
        ::posix_spawn(&process, words.front(), &actions.actions, &attributes.attributes, words.data(), environ);
    if (error != 0) return Unexpected{command.front() + ": " + std::system_category().message(error)};
    return process;
}

/// Appends what can be read now, and keeps the end of it. False at the end of the stream.
bool read_trial_output(int from, std::string& output) {
    std::array<char, trial_output_kept> buffer;
    const ssize_t count = ::read(from, buffer.data(), buffer.size());
    if (count < 0) return errno == EINTR || errno == EAGAIN;
    output.append(buffer.data(), static_cast<std::size_t>(count));
    if (output.size() > trial_output_kept) output.erase(0, output.size() - trial_output_kept);
    return count > 0;
}

/// Reads until the process has ended. False if that takes until `until`.
bool await_trial(const TrialProcess& process, int from, TrialClock::time_point until, std::string& output) {
    bool open = true;
    for (;;) {
        std::array<pollfd, 2> ready{pollfd{open ? from : -1, POLLIN, 0}, pollfd{process.end_descriptor(), POLLIN, 0}};
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - TrialClock::now()).count();
        if (left <= 0) return false;
        const int count = ::poll(ready.data(), ready.size(), static_cast<int>(std::min<std::int64_t>(left, 60'000)));
        if (count < 0 && errno != EINTR) return false;
        if (count <= 0) continue;
        if (ready[0].revents != 0) open = read_trial_output(from, output);
        if (ready[1].revents != 0) {
            while (open && read_trial_output(from, output) && errno != EAGAIN) {
            }
            return true;
        }
        if (!open && process.end_descriptor() < 0) return true;
    }
}

std::string last_line_of(std::string_view output) {
    while (output.ends_with('\n')) output.remove_suffix(1);
    return std::string{output.substr(output.rfind('\n') + 1)};
}

}  // namespace

Result<void, std::string> try_handler(const HandlerTrial& trial, std::string_view config) {
    int ends[2];
    const Descriptor input = file_with(config);
    if (!input || ::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        return Unexpected{"it cannot be tried: " + std::system_category().message(errno)};
    }
    const Descriptor from{ends[0]};
    Descriptor to{ends[1]};
    ::fcntl(to.get(), F_SETFL, 0);  // blocking for the program
    const auto spawned = spawn_trial(trial.command, input.get(), to.get());
    if (!spawned) return Unexpected{"it cannot be tried: " + spawned.error()};
    to.reset();
    TrialProcess process{*spawned};
    std::string output;
    if (!await_trial(process, from.get(), TrialClock::now() + trial.deadline, output)) {
        process.kill();
        return Unexpected{"its start does not end within " + std::to_string(trial.deadline.count()) +
                          " ms: a constructor or create() hangs"};
    }
    const int status = process.wait();
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
    if (WIFSIGNALED(status)) return Unexpected{"it crashes at its start: " + detail::text_of_signal(WTERMSIG(status))};
    const std::string reason = last_line_of(output);
    return Unexpected{reason.empty() ? "its start fails without a reason" : reason};
}

}  // namespace wsserver
