// Tests of the start of a server for which the system has too little.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <cstddef>
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
