// Starts a server, finds its port, and reads its CPU time and memory from /proc.
#include "server_process.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <thread>

namespace wsserver::bench {

namespace {

using namespace std::chrono_literals;

constexpr auto start_deadline = 10s;

[[noreturn]] void fail(const char* what) { throw std::system_error{errno, std::generic_category(), what}; }

[[noreturn]] void become(const std::vector<std::string>& command, std::optional<int> core, int output) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (core) pin_to(*core);
    dup2(output, STDOUT_FILENO);
    std::vector<char*> arguments;
    for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    execvp(arguments[0], arguments.data());
    std::perror(arguments[0]);
    _exit(127);
}

/// Asks the kernel, because a connection would change the state of the server.
bool is_listened_on(std::uint16_t port) {
    for (const char* table : {"/proc/net/tcp", "/proc/net/tcp6"}) {
        std::ifstream sockets{table};
        for (std::string line; std::getline(sockets, line);) {
            std::istringstream words{line};
            std::string slot, local, remote, state;
            words >> slot >> local >> remote >> state;
            const auto colon = local.rfind(':');
            if (state == "0A" && std::stoul(local.substr(colon + 1), nullptr, 16) == port) return true;
        }
    }
    return false;
}

/// The number after the last colon of a line that begins with "listening on"; 0 for any other line.
std::uint16_t port_in(std::string_view line) {
    std::uint16_t port = 0;
    if (!line.starts_with("listening on ")) return 0;
    const auto colon = line.rfind(':');
    std::from_chars(line.data() + colon + 1, line.data() + line.size(), port);
    return port;
}

}  // namespace

void pin_to(int core) {
    cpu_set_t cores;
    CPU_ZERO(&cores);
    CPU_SET(core, &cores);
    if (sched_setaffinity(0, sizeof cores, &cores) != 0) fail("sched_setaffinity");
}

ServerProcess::ServerProcess(const std::vector<std::string>& command, std::optional<int> core,
                             std::optional<std::uint16_t> port) {
    std::array<int, 2> ends;
    if (pipe2(ends.data(), O_CLOEXEC) != 0) fail("pipe2");
    pid_ = fork();
    if (pid_ < 0) fail("fork");
    if (pid_ == 0) become(command, core, ends[1]);
    close(ends[1]);
    try {
        port_ = port ? *port : announced_port(ends[0]);
        wait_until_listening();
    } catch (...) {
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
        close(ends[0]);
        throw;
    }
    close(ends[0]);
}

ServerProcess::~ServerProcess() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
}

std::uint16_t ServerProcess::announced_port(int output) const {
    std::string text;
    const auto deadline = std::chrono::steady_clock::now() + start_deadline;
    while (std::chrono::steady_clock::now() < deadline) {
        pollfd readable{output, POLLIN, 0};
        if (poll(&readable, 1, 100) <= 0) continue;
        std::array<char, 512> buffer;
        const ssize_t count = read(output, buffer.data(), buffer.size());
        if (count <= 0) break;
        text.append(buffer.data(), static_cast<std::size_t>(count));
        for (std::size_t end; (end = text.find('\n')) != std::string::npos; text.erase(0, end + 1)) {
            if (const auto port = port_in(std::string_view{text}.substr(0, end))) return port;
        }
    }
    throw std::runtime_error{"the server under test does not print `listening on SCHEME://HOST:PORT`"};
}

void ServerProcess::wait_until_listening() const {
    const auto deadline = std::chrono::steady_clock::now() + start_deadline;
    while (!is_listened_on(port_)) {
        if (waitpid(pid_, nullptr, WNOHANG) == pid_) throw std::runtime_error{"the server under test has ended"};
        if (std::chrono::steady_clock::now() > deadline) {
            throw std::runtime_error{"the server under test does not listen on port " + std::to_string(port_)};
        }
        std::this_thread::sleep_for(10ms);
    }
}

std::chrono::nanoseconds ServerProcess::cpu() const {
    const std::string tasks = "/proc/" + std::to_string(pid_) + "/task";
    const std::unique_ptr<DIR, int (*)(DIR*)> folder{opendir(tasks.c_str()), closedir};
    if (!folder) throw std::runtime_error{"the server under test has ended"};
    std::chrono::nanoseconds sum{0};
    while (const dirent* entry = readdir(folder.get())) {
        if (entry->d_name[0] == '.') continue;
        // The first number is the CPU time of the thread, in ns.
        std::int64_t ran = 0;
        if (std::ifstream{tasks + "/" + entry->d_name + "/schedstat"} >> ran) sum += std::chrono::nanoseconds{ran};
    }
    return sum;
}

std::size_t ServerProcess::anonymous_memory() const {
    std::ifstream sums{"/proc/" + std::to_string(pid_) + "/smaps_rollup"};
    for (std::string word; sums >> word;) {
        std::size_t kibibytes = 0;
        if (word == "Anonymous:" && sums >> kibibytes) return kibibytes * 1024;
    }
    throw std::runtime_error{"the server under test has ended"};
}

}  // namespace wsserver::bench
