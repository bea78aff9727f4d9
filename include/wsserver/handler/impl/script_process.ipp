#pragma once

#include "wsserver/handler/detail/script_process.hpp"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "wsserver/base/shell_words.hpp"
#include "wsserver/handler/detail/spawn.hpp"

namespace wsserver {
namespace {

struct ScriptPipe {
    Descriptor read, write;
};

/// `ours` does not block.
std::optional<ScriptPipe> script_pipe(bool we_read) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return std::nullopt;
    ScriptPipe pipe{Descriptor{ends[0]}, Descriptor{ends[1]}};
    if (::fcntl(we_read ? ends[0] : ends[1], F_SETFL, O_NONBLOCK) != 0) return std::nullopt;
    return pipe;
}

std::string text_of_end(int status) {
    if (WIFEXITED(status)) return "it ended with the exit code " + std::to_string(WEXITSTATUS(status));
    return "it was ended by " + detail::text_of_signal(WTERMSIG(status));
}

}  // namespace

Result<ScriptProcess, std::string> ScriptProcess::start(std::vector<std::string> command,
                                                        std::vector<std::string> environment) {
    const auto problem = [&](int error) {
        return Unexpected{escape_control(command.front()) +
                          " cannot be started: " + std::system_category().message(error)};
    };
    auto input = script_pipe(false), output = script_pipe(true), errors = script_pipe(true);
    if (!input || !output || !errors) return problem(errno);
    detail::SpawnActions actions;
    ::posix_spawn_file_actions_adddup2(&actions.actions, input->read.get(), STDIN_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions.actions, output->write.get(), STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions.actions, errors->write.get(), STDERR_FILENO);
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
    ::posix_spawn_file_actions_addclosefrom_np(&actions.actions, STDERR_FILENO + 1);
#endif
    const detail::SpawnAttributes attributes{true};
    const auto words = detail::pointers_to(command), variables = detail::pointers_to(environment);
    pid_t process = 0;
    const int error = ::posix_spawn(&process, words.front(), &actions.actions, &attributes.attributes, words.data(),
                                    variables.data());
    if (error != 0) return problem(error);
    Descriptor end{static_cast<int>(::syscall(SYS_pidfd_open, process, 0))};
    ScriptProcess started{process, std::move(end), std::move(input->write), std::move(output->read),
                          std::move(errors->read)};
    if (!started.end_) return problem(errno);
    return started;
}

ScriptProcess::~ScriptProcess() {
    if (process_ == 0) return;
    signal(SIGKILL);
    int status = 0;
    while (::waitpid(process_, &status, 0) < 0 && errno == EINTR) {
    }
}

void ScriptProcess::signal(int number) const noexcept {
    if (process_ != 0) ::kill(-process_, number);
}

bool ScriptProcess::has_ended() const noexcept {
    if (process_ == 0) return true;
    siginfo_t ended{};
    const bool known = ::waitid(P_PID, static_cast<id_t>(process_), &ended, WEXITED | WNOHANG | WNOWAIT) == 0;
    return known && ended.si_pid != 0;
}

std::optional<std::string> ScriptProcess::take_end() {
    if (process_ == 0 || !has_ended()) return std::nullopt;
    signal(SIGKILL);  // its children, as long as its number is that of no other group
    int status = 0;
    while (::waitpid(process_, &status, 0) < 0 && errno == EINTR) {
    }
    process_ = 0;
    return text_of_end(status);
}

}  // namespace wsserver
