#include "wsd-ctl/send_command.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "wsd-ctl/join_group.hpp"
#include "wsserver/base/descriptor.hpp"
#include "wsserver/control/spool.hpp"

namespace wsd::ctl {

namespace {

using std::chrono::milliseconds;
using wsserver::Descriptor;
using wsserver::Result;
using wsserver::Unexpected;
using Clock = std::chrono::steady_clock;

/// Events can be lost, and no event reports that the daemon has died.
constexpr milliseconds look_interval{200};

Unexpected<NoAnswer> no_answer(NoAnswer::Why why, std::string text, int signal = 0) {
    return Unexpected{NoAnswer{why, std::move(text), signal}};
}

/// For a system call on `path` in `spool`.
Unexpected<NoAnswer> system_trouble(const std::string& spool, const std::string& path, const std::string& what) {
    const int error = errno;
    std::string advice;
    if (error == EACCES || error == EPERM) advice = "; " + how_to_join(spool);
    return no_answer(NoAnswer::Why::failed, fmt::format("{}: {}: {}{}", path, what, std::strerror(error), advice));
}

/// Whether the user database says that `user` is in `group`.
bool is_member(uid_t user, gid_t group) {
    const passwd* const entry = ::getpwuid(user);
    if (entry == nullptr) return false;
    std::array<gid_t, 256> groups{};
    int count = static_cast<int>(groups.size());
    if (::getgrouplist(entry->pw_name, entry->pw_gid, groups.data(), &count) < 0) return false;
    return std::find(groups.begin(), groups.begin() + count, group) != groups.begin() + count;
}

/// Makes the file readable for the daemon: the owner of the folder, or its group. A file of root stays root's where the
/// daemon can read it by its group, so that the log names root.
bool make_readable(int file, const std::string& folder) {
    constexpr auto unchanged = static_cast<uid_t>(-1);
    struct stat status;
    if (::stat(folder.c_str(), &status) != 0) return false;
    const bool of_root = ::geteuid() == 0 && status.st_uid != 0;
    const bool by_group = (status.st_mode & S_ISGID) != 0 || (of_root && is_member(status.st_uid, status.st_gid));
    if (of_root && ::fchown(file, by_group ? unchanged : status.st_uid, status.st_gid) != 0) return false;
    return !by_group || ::fchmod(file, 0640) == 0;
}

bool write_all(int file, std::string_view text) {
    while (!text.empty()) {
        const auto written = ::write(file, text.data(), text.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return false;
        text.remove_prefix(static_cast<std::size_t>(written));
    }
    return true;
}

/// Turns the signals that end a program into a descriptor to poll, while it exists.
class SignalsToPoll {
   public:
    SignalsToPoll() {
        sigset_t ending;
        ::sigemptyset(&ending);
        for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaddset(&ending, signal);
        ::pthread_sigmask(SIG_BLOCK, &ending, &before_);
        descriptor_.reset(::signalfd(-1, &ending, SFD_NONBLOCK | SFD_CLOEXEC));
    }
    ~SignalsToPoll() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    SignalsToPoll(const SignalsToPoll&) = delete;
    SignalsToPoll& operator=(const SignalsToPoll&) = delete;

    int descriptor() const noexcept { return descriptor_.get(); }
    /// The signal that was received; 0: none.
    int take() const {
        signalfd_siginfo info;
        return ::read(descriptor_.get(), &info, sizeof info) == sizeof info ? static_cast<int>(info.ssi_signo) : 0;
    }

   private:
    sigset_t before_;
    Descriptor descriptor_;
};

/// Sends one command and waits for its answer.
class Sender {
   public:
    explicit Sender(const CommandFile& command) : command_(command) {}

    Result<SpoolAnswer, NoAnswer> send() {
        if (auto written = write(); !written) return Unexpected{written.error()};
        if (command_.wants_answer) watch();  // before the rename, so that no answer is missed
        if (::rename(in("tmp").c_str(), in("new").c_str()) != 0) {
            auto trouble = system_trouble(command_.spool, in("new"), "the command cannot be sent");
            ::unlink(in("tmp").c_str());
            return trouble;
        }
        if (!command_.wants_answer) return SpoolAnswer{};
        return wait();
    }

   private:
    std::string in(std::string_view folder) const {
        return fmt::format("{}/{}/{}", command_.spool, folder, command_.name);
    }

    Result<void, NoAnswer> write() {
        const auto path = in("tmp");
        const Descriptor file{::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600)};
        if (!file) return system_trouble(command_.spool, path, "the command cannot be written");
        if (make_readable(file.get(), command_.spool + "/tmp") && write_all(file.get(), command_.line) &&
            write_all(file.get(), "\n") && write_all(file.get(), command_.payload)) {
            return {};
        }
        auto trouble = system_trouble(command_.spool, path, "the command cannot be written");
        ::unlink(path.c_str());
        return trouble;
    }

    void watch() {
        inotify_.reset(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
        for (const char* folder : {"done", "failed"}) {
            const auto path = fmt::format("{}/{}", command_.spool, folder);
            if (inotify_) ::inotify_add_watch(inotify_.get(), path.c_str(), IN_MOVED_TO);
        }
    }

    Result<SpoolAnswer, NoAnswer> wait() {
        const auto give_up = Clock::now() + command_.timeout.value_or(milliseconds{0});
        auto next_look = Clock::now() + look_interval;
        for (;;) {
            if (auto answer = read_answer()) return *answer;
            const auto now = Clock::now();
            if (command_.timeout && now >= give_up) return withdraw(NoAnswer::Why::timeout);
            if (now >= next_look) {
                next_look = now + look_interval;
                const auto holder = wsserver::spool_holder(command_.spool);
                if (holder && !holder->held) return withdraw(NoAnswer::Why::ended);
            }
            if (const int signal = sleep(command_.timeout ? std::min(give_up, next_look) : next_look)) {
                return withdraw(NoAnswer::Why::interrupted, signal);
            }
        }
    }

    /// Waits until a file is moved into done/ or failed/, or until a signal, which is returned.
    int sleep(Clock::time_point until) {
        const auto left = std::chrono::ceil<milliseconds>(until - Clock::now()).count();
        std::array<pollfd, 2> polled{{{inotify_.get(), POLLIN, 0}, {signals_.descriptor(), POLLIN, 0}}};
        if (::poll(polled.data(), polled.size(), static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000))) <= 0) {
            return 0;
        }
        std::array<char, 4096> events;
        while (inotify_ && ::read(inotify_.get(), events.data(), events.size()) > 0) {
        }
        return polled[1].revents != 0 ? signals_.take() : 0;
    }

    std::optional<SpoolAnswer> read_answer() const {
        if (auto text = text_of_file(in("done"), false)) {
            return SpoolAnswer{{}, text->substr(text->find('\n') + 1), text->starts_with("ok again\n")};
        }
        auto line = text_of_file(in("failed"), true);
        if (!line) return std::nullopt;
        // `error CODE TEXT`
        line->resize(std::min(line->find('\n'), line->size()));
        const auto code = line->find(' ') + 1;
        const auto text = line->find(' ', code) + 1;
        return SpoolAnswer{line->substr(code, text - code - 1), line->substr(text)};
    }

    /// In failed/ the command follows the line with its error, and may be long.
    static std::optional<std::string> text_of_file(const std::string& path, bool first_line_only) {
        const Descriptor file{::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC)};
        if (!file) return std::nullopt;
        std::string text;
        std::array<char, 64 * 1024> buffer;
        ssize_t got;
        while ((got = ::read(file.get(), buffer.data(), buffer.size())) > 0) {
            text.append(buffer.data(), static_cast<std::size_t>(got));
            if (first_line_only && text.find('\n') != std::string::npos) break;
        }
        return text;
    }

    /// A command that is still in new/ has not been started, and never will be after it is removed from there.
    Result<SpoolAnswer, NoAnswer> withdraw(NoAnswer::Why why, int signal = 0) {
        if (::unlink(in("new").c_str()) == 0) {
            return no_answer(why, "the command was not executed and has been withdrawn", signal);
        }
        if (errno != ENOENT) {
            return no_answer(why, fmt::format("the command stays in {} and will be executed", in("new")), signal);
        }
        if (auto answer = read_answer()) return *answer;
        if (why == NoAnswer::Why::ended) {
            return no_answer(why,
                             "it stopped during the command; the next wsd on this spool tries it again, unless it is "
                             "stop, drain, undrain, reload or handler load");
        }
        return no_answer(
            why, fmt::format("the command is being executed; its answer will be {} or {}", in("done"), in("failed")),
            signal);
    }

    const CommandFile& command_;
    SignalsToPoll signals_;
    Descriptor inotify_;
};

}  // namespace

std::string unique_command_file_name() {
    std::timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    std::uint32_t random = 0;
    if (::getrandom(&random, sizeof random, 0) != sizeof random) random = static_cast<std::uint32_t>(now.tv_nsec);
    // Twelve digits of seconds: these names sort by time for thirty thousand years.
    return fmt::format("{:012}.{:09}-{}-{:08x}", now.tv_sec, now.tv_nsec, ::getpid(), random);
}

Result<SpoolAnswer, NoAnswer> send_command(const CommandFile& command) { return Sender{command}.send(); }

}  // namespace wsd::ctl
