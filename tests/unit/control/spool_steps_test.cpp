// A command passes through the states of docs/spool-format.md, whatever fails and wherever the process ends.
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <set>

#include "support/catch.hpp"
#include "support/folder.hpp"
#include "support/spool_desk.hpp"
#include "support/strings.hpp"
#include "wsserver/base/descriptor.hpp"

using namespace wsserver;
using namespace wsserver::test;
namespace {

std::error_code error_of(int number) { return {number, std::system_category()}; }

/// Numbers the system calls from 1 and does something before one of them.
struct Steps {
    int count = 0;
    int chosen = 0;  ///< 0: none
    std::function<std::error_code()> act{};

    SpoolFault fault() {
        return [this](std::string_view call) {
            if (call == "lease") return std::error_code{};  // without it a file only waits for further looks
            return ++count == chosen ? act() : std::error_code{};
        };
    }
};

/// Two commands, of which the first has an older answer, and a file that is not a command.
void put_work(const Desk& desk, bool fails) {
    write_to(desk.in("failed", "b"), "error gone old\n");
    write_to(desk.in("done", "b"), "ok\nold\n");
    desk.put("b", fails ? "fail" : "x");
    desk.put("c", "after");
    write_to(desk.in("new", "not a name"), "x");
}

void check_answers(const Desk& desk, bool fails, bool again = false) {
    const std::string ok = again ? "ok again\n" : "ok\n";
    if (fails) {
        CHECK(text_in(desk.in("failed", "b")) ==
              (again ? "error refused again: no such id\nfail" : "error refused no such id\nfail"));
    } else {
        CHECK(text_in(desk.in("done", "b")) == ok + "done b\n");
    }
    CHECK_FALSE(exists(desk.in(fails ? "done" : "failed", "b")));
}

}  // namespace

TEST_CASE("each step may fail once, and each command is executed once and answered", "[spool][steps]") {
    const bool fails = GENERATE(false, true);
    const int error = GENERATE(ENOSPC, EIO, EMFILE);
    int steps = 0;
    for (int step = 1; step == 1 || step <= steps; ++step) {
        REQUIRE(step < 400);
        Steps plan;
        plan.chosen = step;
        plan.act = [error] { return error_of(error); };
        SpoolOptions options;
        options.before_call = plan.fault();
        Desk desk{options};
        put_work(desk, fails);
        CAPTURE(fails, error, step);
        for (int tries = 0; tries < 5 && desk.run() != "idle"; ++tries) {
        }
        steps = std::max(steps, plan.count);
        plan.chosen = 0;
        CHECK(desk.run() == "idle");
        CHECK(desk.executed == Strings{"b", "c"});
        check_answers(desk, fails);
        CHECK(text_in(desk.in("done", "c")) == "ok\ndone c\n");
        CHECK(desk.refused["not a name"] == "bad-name");
        // If removing a reserved file fails, it stays until the next start.
        desk.open();
        CHECK(desk.run() == "idle");
        CHECK(desk.executed == Strings{"b", "c"});
        CHECK(desk.left().empty());
    }
    CHECK(steps > 30);
}

namespace {

/// What a child that was to die at a step of the work has done.
struct Life {
    bool killed = false;  ///< false: it ended before that step
    int executed = 0;     ///< commands `b`
};

/// Opens the spool in another process and executes all commands there. Kills the process before the system call
/// `step`, or during the execution of `b` if `step` is 0.
Life live(const Desk& desk, int step) {
    const auto journal = desk.folder / "journal";
    write_to(journal, "");
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        const auto die = [] {
            ::kill(::getpid(), SIGKILL);
            return std::error_code{};
        };
        Steps plan;
        plan.chosen = step;
        plan.act = die;
        auto options = desk.options;
        options.before_call = plan.fault();
        auto spool = Spool::open(options);
        if (!spool) ::_exit(2);
        for (;;) {
            auto next = (*spool)->next();
            if (std::holds_alternative<SpoolBlocked>(next)) ::_exit(3);
            if (std::holds_alternative<SpoolIdle>(next)) ::_exit(0);
            auto* const command = std::get_if<SpoolCommand>(&next);
            if (command == nullptr) continue;
            if (command->name == "b") {
                const Descriptor file{::open(journal.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC)};
                if (::write(file.get(), "b", 1) != 1) ::_exit(4);
                if (step == 0) die();
            }
            const bool fails = command->content.starts_with("fail");
            auto answer = fails ? Answer::failed(CommandErrc::refused, "no such id")
                                : Answer::done("done " + command->name + '\n');
            (*spool)->finish(std::move(*command), std::move(answer));
        }
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE((WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0));
    return {.killed = WIFSIGNALED(status), .executed = static_cast<int>(text_in(journal).size())};
}

/// A spool whose daemon has just ended, with work to do.
struct Deserted : Desk {
    explicit Deserted(bool fails) {
        put_work(*this, fails);
        spool.reset();
    }
};

}  // namespace

TEST_CASE("after a kill at any step the next start continues there", "[spool][steps]") {
    const bool fails = GENERATE(false, true);
    std::set<int> counts;
    bool killed = true;
    for (int step = 1; killed; ++step) {
        Deserted desk{fails};
        CAPTURE(fails, step);
        const auto first = live(desk, step);
        killed = first.killed;
        desk.open();  // the lock of the dead process is gone
        CHECK(desk.run() == "idle");
        const auto again = static_cast<int>(std::count(desk.executed.begin(), desk.executed.end(), "b"));
        CHECK(first.executed + again >= 1);
        CHECK(first.executed + again <= 2);
        counts.insert(first.executed + again);
        if (first.executed + again == 2) {
            check_answers(desk, fails, true);
        } else {
            const auto text = text_in(desk.in(fails ? "failed" : "done", "b"));
            check_answers(desk, fails, has(text, "again"));
        }
        CHECK(text_in(desk.in("done", "c")).ends_with("done c\n"));
        CHECK(desk.left().empty());
    }
    CHECK(counts == std::set<int>{1, 2});
}

TEST_CASE("a second kill at any step leads to no third execution", "[spool][steps]") {
    int twice = 0;
    for (int first_step : {0, 11, 12, 13, 14, 15, 16}) {
        bool killed = true;
        for (int step = 0; killed; ++step) {
            Deserted desk{false};
            CAPTURE(first_step, step);
            const auto first = live(desk, first_step);
            const auto second = live(desk, step);
            killed = second.killed;
            desk.open();
            CHECK(desk.run() == "idle");
            const auto third = static_cast<int>(std::count(desk.executed.begin(), desk.executed.end(), "b"));
            const int all = first.executed + second.executed + third;
            CHECK(all >= 1);
            CHECK(all <= 2);
            const bool done = exists(desk.in("done", "b"));
            CHECK(done != exists(desk.in("failed", "b")));
            if (!done) {
                CHECK(text_in(desk.in("failed", "b")).starts_with("error crashed "));
                ++twice;
            }
            CHECK(text_in(desk.in("done", "c")).ends_with("done c\n"));
            CHECK(desk.left().empty());
        }
    }
    CHECK(twice > 0);
}

TEST_CASE("a command during which two processes ended is answered and does not delay the others", "[spool][steps]") {
    Deserted desk{false};
    CHECK(live(desk, 0).killed);
    CHECK(names_in(desk.in("cur")) == Strings{"b~1", "b~reserved"});
    CHECK(live(desk, 0).killed);
    CHECK(names_in(desk.in("cur")) == Strings{"b~2", "b~reserved"});
    desk.open();
    CHECK(desk.run() == "idle");
    CHECK(desk.executed == Strings{"c"});
    CHECK(desk.refused["b"] == "crashed");
    CHECK(text_in(desk.in("failed", "b")) ==
          "error crashed wsd ended twice while it executed this command, which is not tried again; whether it took "
          "effect is not known\nx");
    CHECK(desk.left().empty());
}

TEST_CASE("a command whose answer was lost is answered and not executed again", "[spool][steps]") {
    Desk desk;
    desk.spool.reset();
    write_to(desk.in("cur", "a~done"), "x\npayload");
    write_to(desk.in("cur", "a~reserved"), "ok\nhalf an ans");
    desk.open();
    CHECK(desk.run() == "idle");
    CHECK(desk.executed.empty());
    CHECK(text_in(desk.in("failed", "a")) ==
          "error crashed the command was executed, and wsd ended before it had written the answer\nx\npayload");
    CHECK(desk.left().empty());
}

TEST_CASE("a lost answer is reported even if the process ends again, at any step", "[spool][steps]") {
    bool killed = true;
    for (int step = 1; killed; ++step) {
        Desk desk;
        desk.spool.reset();
        write_to(desk.in("cur", "a~done"), "x");
        write_to(desk.in("cur", "a~reserved"), "ok\nhalf an ans");
        CAPTURE(step);
        killed = live(desk, step).killed;
        desk.open();
        CHECK(desk.run() == "idle");
        CHECK(desk.executed.empty());
        CHECK(text_in(desk.in("failed", "a")).starts_with("error crashed the command was executed, "));
        CHECK(desk.left().empty());
    }
}

TEST_CASE("a lost answer is reported even if somebody removes its file", "[spool][steps]") {
    Desk desk;
    desk.spool.reset();
    write_to(desk.in("cur", "a~done"), "x");
    write_to(desk.in("cur", "a~reserved"), "ok\nhalf an ans");
    desk.options.before_call = [&](std::string_view call) {
        if (call == "reopen") std::filesystem::remove(desk.in("cur", "a~reserved"));
        return std::error_code{};
    };
    desk.put("b", "x");
    desk.open();
    CHECK(desk.run() == "idle");
    CHECK(desk.executed == Strings{"b"});
    CHECK(text_in(desk.in("failed", "a")).starts_with("error crashed the command was executed, "));
    CHECK(desk.left().empty());
}

TEST_CASE("a complete answer says that its command was executed", "[spool][steps]") {
    Desk desk;
    desk.spool.reset();
    const std::string mark = GENERATE("~1", "~2", "~done", "");
    const std::string answer = GENERATE("ok\nyes\n", "error gone no\n");
    if (!mark.empty()) write_to(desk.in("cur", "a" + mark), "x");
    write_to(desk.in("cur", "a~answer"), answer);
    desk.open();
    CHECK(desk.run() == "idle");
    CHECK(desk.executed.empty());
    CHECK(text_in(desk.in(answer.starts_with("ok") ? "done" : "failed", "a")) == answer);
    CHECK(desk.left().empty());
}

TEST_CASE("files without a command in cur/ are removed, and files with other names are rejected", "[spool][steps]") {
    Desk desk;
    desk.spool.reset();
    for (const char* name : {"a~reserved", "c~done"}) write_to(desk.in("cur", name), "x");
    write_to(desk.in("cur", "d~3"), "x");
    REQUIRE(::mkdir(desk.in("cur", "e").c_str(), 0700) == 0);
    desk.open();
    CHECK(desk.run() == "idle");
    CHECK(desk.executed.empty());
    CHECK(desk.refused == std::map<std::string, std::string>{{"d~3", "bad-name"}, {"e", "bad-file"}});
    CHECK(desk.left().empty());
}

TEST_CASE("commands that a crash left in cur/ are executed before those in new/", "[spool][steps]") {
    Desk desk;
    desk.spool.reset();
    write_to(desk.in("cur", "z2"), "x");
    write_to(desk.in("cur", "z1~1"), "x");
    desk.put("a", "x");
    desk.open();
    CHECK(desk.run() == "idle");
    CHECK(desk.executed == Strings{"z1", "z2", "a"});
    CHECK(text_in(desk.in("done", "z1")) == "ok again\ndone z1\n");
    CHECK(text_in(desk.in("done", "z2")) == "ok\ndone z2\n");
    CHECK(desk.left().empty());
}

namespace {

/// While it exists, this process can write no byte to a file.
class FullDisk {
   public:
    FullDisk() {
        struct sigaction ignore {};
        ignore.sa_handler = SIG_IGN;
        REQUIRE(::sigaction(SIGXFSZ, &ignore, &before_) == 0);
        REQUIRE(::getrlimit(RLIMIT_FSIZE, &limit_) == 0);
        const rlimit none{0, limit_.rlim_max};
        REQUIRE(::setrlimit(RLIMIT_FSIZE, &none) == 0);
    }
    ~FullDisk() {
        ::setrlimit(RLIMIT_FSIZE, &limit_);
        ::sigaction(SIGXFSZ, &before_, nullptr);
    }
    FullDisk(const FullDisk&) = delete;
    FullDisk& operator=(const FullDisk&) = delete;

   private:
    struct sigaction before_ {};
    rlimit limit_{};
};

}  // namespace

TEST_CASE("on a full disk commands wait in new/, and are not begun", "[spool][steps]") {
    Desk desk;
    desk.put("a", "x");
    desk.put("b", "x");
    std::string first, second;
    {
        const FullDisk full;
        first = desk.run();
        second = desk.run();
    }
    CHECK(has(first, "there is no space for an answer"));
    CHECK(second == first);
    CHECK(desk.executed.empty());
    CHECK(desk.left() == Strings{"new/a", "new/b"});
    CHECK(desk.run() == "idle");
    CHECK(desk.executed == Strings{"a", "b"});
    CHECK(desk.left().empty());
}

TEST_CASE("a start on a full disk succeeds, and what had begun waits for space", "[spool][steps]") {
    Desk desk;
    desk.spool.reset();
    write_to(desk.in("cur", "a~1"), "x");
    write_to(desk.in("cur", "b~2"), "x");
    {
        const FullDisk full;
        desk.open();
        CHECK(has(desk.run(), "there is no space for an answer"));
        desk.open();
        CHECK(has(desk.run(), "there is no space for an answer"));
    }
    CHECK(desk.run() == "idle");
    CHECK(desk.executed == Strings{"a"});
    CHECK(desk.refused["b"] == "crashed");
    CHECK(desk.left().empty());
}

TEST_CASE("if the disk fills up during a command, its answer fits in the reserved space", "[spool][steps]") {
    Desk desk;
    desk.put("a", std::string(100'000, 'x'));
    desk.put("b", "fail" + std::string(100'000, 'x'));
    bool full = false;
    desk.spool.reset();
    desk.options.before_call = [&](std::string_view call) {
        return full && (call == "create" || call == "reserve") ? error_of(ENOSPC) : std::error_code{};
    };
    desk.on_execute = [&](const SpoolCommand&) { full = true; };
    desk.open();
    CHECK(has(desk.run(), "there is no space"));
    CHECK(exists(desk.in("done", "a")));
    full = false;
    CHECK(desk.run() == "idle");
    CHECK(text_in(desk.in("failed", "b")).size() > 100'000);
}

TEST_CASE("an answer that is longer than the reserved space waits for space, and then for the next start",
          "[spool][steps]") {
    Desk desk;
    desk.put("a", "x");
    bool full = false;
    desk.spool.reset();
    desk.options.before_call = [&](std::string_view call) {
        return full && call == "write" ? error_of(ENOSPC) : std::error_code{};
    };
    desk.on_execute = [&](const SpoolCommand&) { full = true; };
    desk.open();
    CHECK(has(desk.run(), "an answer cannot be written"));
    SECTION("space in time") {
        full = false;
        CHECK(desk.run() == "idle");
        CHECK(text_in(desk.in("done", "a")) == "ok\ndone a\n");
    }
    SECTION("a start before that") {
        desk.open();
        full = false;
        CHECK(desk.run() == "idle");
        CHECK(text_in(desk.in("failed", "a")).starts_with("error crashed the command was executed"));
    }
    CHECK(desk.executed == Strings{"a"});
    CHECK(desk.left().empty());
}
