#include "wsserver/handler/handler_trial.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "support/catch.hpp"

using namespace wsserver;
using namespace std::chrono_literals;

namespace {

/// A trial by a shell that executes `script`.
HandlerTrial trial_by(const std::string& script, std::chrono::milliseconds deadline = 30s) {
    return {{"/bin/sh", "-c", script}, deadline};
}

std::string error_of(const HandlerTrial& trial, std::string_view config = {}) {
    const auto tried = try_handler(trial, config);
    return tried ? "none" : tried.error();
}

}  // namespace

TEST_CASE("a trial that ends with 0 succeeds, whatever it prints", "[trial]") {
    CHECK(try_handler(trial_by("exit 0")));
    CHECK(try_handler(trial_by("echo noise; echo more >&2; exit 0")));
}

TEST_CASE("the reason of a trial is the last line of its standard error", "[trial]") {
    CHECK(error_of(trial_by("echo out; echo first >&2; echo the reason >&2; exit 1")) == "the reason");
    CHECK(error_of(trial_by("printf 'no newline' >&2; exit 3")) == "no newline");
    CHECK(error_of(trial_by("exit 1")) == "its start fails without a reason");
}

TEST_CASE("a trial that crashes tells the signal", "[trial]") {
    CHECK(error_of(trial_by("kill -SEGV $$")) == "it crashes at its start: signal 11 (Segmentation fault)");
    CHECK(error_of(trial_by("kill -ABRT $$")) == "it crashes at its start: signal 6 (Aborted)");
}

TEST_CASE("a trial that hangs is killed at the deadline", "[trial]") {
    CHECK(error_of(trial_by("while :; do sleep 1000; done", 20ms)) ==
          "its start does not end within 20 ms: a constructor or create() hangs");
    // Signals that it ignores and processes that keep its output open do not help it.
    CHECK(error_of(trial_by("trap '' TERM INT; sleep 1000 & wait", 20ms)).starts_with("its start does not end"));
}

TEST_CASE("a trial ends with its process, even if another one keeps its output open", "[trial]") {
    CHECK(try_handler(trial_by("sleep 60 & exit 0")));
}

TEST_CASE("a trial reads the configuration from its standard input", "[trial]") {
    CHECK(try_handler(trial_by("[ \"$(cat)\" = 'colour=blue' ]"), "colour=blue"));
    CHECK(try_handler(trial_by("[ $(wc -c) = 0 ]")));
    const std::string large(1 << 20, 'x');  // more than a pipe holds
    CHECK(try_handler(trial_by("[ $(wc -c) = 1048576 ]"), large));
    CHECK(try_handler(trial_by("exit 0"), large));  // not read at all
}

TEST_CASE("a trial that prints much does not block", "[trial]") {
    CHECK(error_of(trial_by("i=0; while [ $i -lt 20000 ]; do echo a long line of output $i; i=$((i+1)); done >&2; "
                            "echo the end >&2; exit 1")) == "the end");
}

TEST_CASE("a program that cannot be started is an error", "[trial]") {
    CHECK(error_of({{"/no/such/program"}}) == "it cannot be tried: /no/such/program: No such file or directory");
}

TEST_CASE("a trial leaves no process and no descriptor", "[trial]") {
    const auto next_descriptor = [] {
        const int number = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
        ::close(number);
        return number;
    };
    const int before = next_descriptor();
    for (int i = 0; i < 5; ++i) {
        CHECK(try_handler(trial_by("exit 0")));
        CHECK_FALSE(try_handler(trial_by("sleep 1000", 1ms)));
        CHECK_FALSE(try_handler({{"/no/such/program"}}));
    }
    CHECK(next_descriptor() == before);
    CHECK(::waitpid(-1, nullptr, WNOHANG) == -1);
}

TEST_CASE("a trial has the signals of a program in a shell", "[trial]") {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    const std::string error = error_of(trial_by("kill -TERM $$; exit 0"));
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    CHECK(error == "it crashes at its start: signal 15 (Terminated)");
}
