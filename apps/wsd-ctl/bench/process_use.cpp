#include "wsd-ctl/bench/process_use.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

namespace wsd::ctl::bench {

namespace {

using std::chrono::nanoseconds;

/// proc(5), task/TID/schedstat: the first number is what the thread has run, in ns.
std::optional<nanoseconds> scheduled(const std::string& process) {
    nanoseconds sum{0};
    std::error_code error;
    for (std::filesystem::directory_iterator task{process + "/task", error}, end; !error && task != end;
         task.increment(error)) {
        std::int64_t ran = 0;
        // The time of a thread that has just ended is lost.
        if (std::ifstream{task->path() / "schedstat"} >> ran) sum += nanoseconds{ran};
    }
    if (error || sum.count() == 0) return std::nullopt;
    return sum;
}

/// proc(5), stat: utime and stime are words 14 and 15; word 2 may contain blanks and parentheses.
std::optional<nanoseconds> ticked(const std::string& process) {
    std::ifstream file{process + "/stat"};
    const std::string text{std::istreambuf_iterator<char>{file}, {}};
    const auto name_end = text.rfind(')');
    if (name_end == std::string::npos) return std::nullopt;
    const std::string rest = text.substr(name_end + 1);
    std::string ignored;
    unsigned long user = 0, system = 0;
    std::istringstream words{rest};
    for (int word = 3; word < 14; ++word) words >> ignored;
    if (!(words >> user >> system)) return std::nullopt;
    const auto second = static_cast<unsigned long>(::sysconf(_SC_CLK_TCK));
    return nanoseconds{static_cast<std::int64_t>((user + system) * (1'000'000'000 / second))};
}

void read_memory(const std::string& process, ProcessUse& use) {
    std::ifstream statm{process + "/statm"};
    std::uint64_t all = 0, present = 0;
    if (statm >> all >> present) use.rss = present * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    // Exact, but readable only for users that may debug the process.
    std::ifstream rollup{process + "/smaps_rollup"};
    for (std::string line; std::getline(rollup, line);) {
        std::istringstream words{line};
        std::string name;
        std::uint64_t kibibytes = 0;
        if (!(words >> name >> kibibytes)) continue;
        if (name == "Rss:") use.rss = kibibytes * 1024;
        if (name == "Pss:") use.pss = kibibytes * 1024;
    }
}

}  // namespace

wsserver::Result<ProcessUse, std::string> use_of_process(int pid, const std::string& proc) {
    const std::string process = fmt::format("{}/{}", proc, pid);
    auto cpu = scheduled(process);
    if (!cpu) cpu = ticked(process);
    if (!cpu) return wsserver::Unexpected{fmt::format("process {} does not exist or cannot be examined", pid)};
    ProcessUse use;
    use.cpu = *cpu;
    read_memory(process, use);
    return use;
}

OwnTime own_time() {
    timespec cpu{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
    std::int64_t ran = 0, waited = 0;
    std::ifstream{"/proc/thread-self/schedstat"} >> ran >> waited;  // zero if the kernel does not record it
    return {std::chrono::seconds{cpu.tv_sec} + nanoseconds{cpu.tv_nsec}, nanoseconds{waited}};
}

}  // namespace wsd::ctl::bench
