// Tests of the start of a server for which the system has too little.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "support/blocking_client.hpp"
#include "support/catch.hpp"
#include "support/handlers.hpp"
#include "wsserver/server.hpp"

using namespace wsserver;
using namespace wsserver::test;
using namespace std::chrono_literals;

namespace {

/// Makes io_uring_setup() fail on this thread with `error` for rings of more than 8 entries. The probe has 8.
bool forbid_large_rings(unsigned error) {
    sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args)),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 8, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog program{static_cast<unsigned short>(std::size(filter)), filter};
    return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/// What the thread was that called io_uring_setup() last.
std::atomic<pid_t> ring_thread{0};
std::atomic<bool> ring_thread_masked{false};

/// Notes the calling thread and makes io_uring_setup() fail.
void on_ring_setup(int, siginfo_t*, void* interrupted) {
    auto& context = *static_cast<ucontext_t*>(interrupted);
    ring_thread_masked =
        sigismember(&context.uc_sigmask, SIGTERM) == 1 && sigismember(&context.uc_sigmask, SIGINT) == 1;
    ring_thread = ::gettid();
#if defined(__x86_64__)
    context.uc_mcontext.gregs[REG_RAX] = -EPERM;
#elif defined(__aarch64__)
    context.uc_mcontext.regs[0] = static_cast<std::uint64_t>(-EPERM);
#endif
}

/// Makes io_uring_setup() raise SIGSYS on this thread and those that it starts.
bool trap_ring_setup() {
    sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog program{static_cast<unsigned short>(std::size(filter)), filter};
    return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/// The address space of this process now, in bytes.
rlim_t address_space() {
    rlim_t pages = 0;
    std::ifstream{"/proc/self/statm"} >> pages;
    return pages * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE));
}

/// While the object lives, only one more thread can be started: there is no address space for the stack of a second.
class SpaceForOneThread {
   public:
    SpaceForOneThread() {
        constexpr std::size_t stack = std::size_t{1} << 30;
        pthread_getattr_default_np(&before_);
        pthread_attr_t large;
        pthread_attr_init(&large);
        pthread_attr_setstacksize(&large, stack);
        pthread_setattr_default_np(&large);
        pthread_attr_destroy(&large);
        getrlimit(RLIMIT_AS, &limit_);
        rlimit little = limit_;
        little.rlim_cur = address_space() + stack + stack / 2;
        setrlimit(RLIMIT_AS, &little);
    }
    SpaceForOneThread(const SpaceForOneThread&) = delete;
    SpaceForOneThread& operator=(const SpaceForOneThread&) = delete;
    ~SpaceForOneThread() {
        setrlimit(RLIMIT_AS, &limit_);
        pthread_setattr_default_np(&before_);
        pthread_attr_destroy(&before_);
    }

   private:
    pthread_attr_t before_{};
    rlimit limit_{};
};

}  // namespace

TEST_CASE("with few threads there are fewer reactors, and a warning", "[server_start]") {
    ServerOptions options;
    options.io_threads = 4;
    options.reactor_deadline = 0ms;
    options.transport = GENERATE(TransportKind::asio, TransportKind::automatic);
    const auto path = std::filesystem::temp_directory_path() / ("wsserver-start-" + std::to_string(getpid()));
    Server server{options};
    std::vector<std::string> warnings;
    server.on_log([&](LogLevel level, std::string_view text) {
        if (level == LogLevel::warning) warnings.emplace_back(text);
    });
    server.handle(Echo{});
    const std::string url = *server.listen("127.0.0.1:0");
    const std::string local = *server.listen("unix:" + path.string());
    std::vector<BlockingClient> early;  // the kernel gives them to the listeners of all four
    for (int i = 0; i < 16; ++i) early.emplace_back(url);
    {
        const SpaceForOneThread little;
        server.start();
    }
    CHECK(server.io_threads() == 1);
    REQUIRE(warnings.size() == 1);
    CHECK_THAT(warnings[0], Catch::Contains("1 of 4 io threads") && Catch::Contains("ulimit -u"));
    for (auto& client : early) {
        client.write(upgrade_request());
        CHECK(client.read_head().starts_with("HTTP/1.1 101"));
    }
    for (int i = 0; i < 16; ++i) {
        BlockingClient client{i % 4 == 0 ? local : url, ""};
        client.send("x");
        CHECK(client.next() == "text x");
    }
    CHECK(server.list().size() >= early.size());
    server.drain();
    REQUIRE(server.undrain());
    BlockingClient client{url, ""};
    client.send("x");
    CHECK(client.next() == "text x");
    CHECK(server.stop(0ms).complete());
    CHECK_FALSE(std::filesystem::exists(path));
}

#if WSSERVER_URING && (defined(__x86_64__) || defined(__aarch64__))
TEST_CASE("the thread that opens a ring takes none of the program's signals", "[server_start]") {
    struct sigaction trap {};
    struct sigaction before {};
    trap.sa_sigaction = on_ring_setup;
    trap.sa_flags = SA_SIGINFO;
    REQUIRE(::sigaction(SIGSYS, &trap, &before) == 0);
    pid_t own = 0;
    bool served = false;
    std::thread([&] {
        if (!trap_ring_setup()) return;
        own = ::gettid();
        Server server;
        server.handle(Echo{});
        const std::string url = *server.listen("127.0.0.1:0");
        server.start();
        BlockingClient client{url, ""};
        client.send("x");
        served = client.next() == "text x";
    }).join();
    REQUIRE(::sigaction(SIGSYS, &before, nullptr) == 0);
    CHECK(served);
    CHECK(ring_thread != 0);
    CHECK(ring_thread != own);  // a ring belongs to a thread that ends at once
    CHECK(ring_thread_masked);
}
#endif

TEST_CASE("if io_uring fails after it was found to work, asio is used and one log line says why", "[server_start]") {
    const auto [error, words] =
        GENERATE(table<unsigned, std::string>({{ENOMEM, "Cannot allocate memory"}, {EMFILE, "Too many open files"}}));
    std::vector<std::string> said;
    bool served = false;
    // The filter applies to this thread and the threads that it starts.
    std::thread([&, error = error] {
        if (!forbid_large_rings(error)) return;
        ServerOptions options;
        options.io_threads = 2;
        Server server{options};
        server.handle(Echo{});
        server.on_log([&](LogLevel, std::string_view text) { said.emplace_back(text); });
        const std::string url = *server.listen("127.0.0.1:0");
        server.start();
        BlockingClient client{url, ""};
        client.send("x");
        served = client.next() == "text x" && server.io_threads() == 2;
    }).join();
    CHECK(served);
    REQUIRE(said.size() == 1);
    CHECK_THAT(said[0], Catch::StartsWith("io_uring is not used: ") && Catch::EndsWith("; using asio"));
    if (WSSERVER_URING) CHECK_THAT(said[0], Catch::Contains(words));
}
