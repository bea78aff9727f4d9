// A spool in a temporary folder, and what its writers and its daemon do in any order: files are put, damaged and
// removed, the daemon ends at any point, system calls fail. Each command is executed at least once, at most once more
// for each crash, with the content that was written, and has one answer.
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <variant>

#include "fuzz_input.hpp"
#include "support/folder.hpp"
#include "wsserver/control/spool.hpp"

using namespace wsserver;
using fuzz::FuzzInput;
using fuzz::require;

namespace {

constexpr std::string_view names[] = {"a", "b", "c", "d"};
/// Names in cur/ that a crash or a person may leave.
constexpr std::string_view marks[] = {"",        "~1",       "~2", "~3",   "~done", "~reserved",
                                      "~answer", "~refused", "~",  "~1~1", " x"};
constexpr std::string_view contents[] = {"x", "fail", "gone", "x\npayload", "", "quiet"};

/// What may happen to the commands of one name.
struct Expectation {
    int files = 0;    ///< that were put into new/ or cur/
    int crashes = 0;  ///< while one was executed
    int executed = 0;
    bool withdrawn = false;  ///< a file was removed or damaged, so that it may not be executed
    std::set<std::string> contents{};
};

class Play {
   public:
    explicit Play(FuzzInput& input) : input_(input) {
        options_.path = folder_ / "spool";
        options_.before_call = [this](std::string_view call) {
            if (fault_in_ == 0 || call == "lease" || --fault_in_ != 0) return std::error_code{};
            return std::error_code{fault_, std::system_category()};
        };
        open();
    }

    void run() {
        for (int steps = 0; steps < 60 && !input_.empty(); ++steps) step();
        fault_in_ = 0;
        // Each start takes one file of a command from cur/. A person may have left one with each mark.
        for (int starts = 0; starts < 4; ++starts) {
            open();
            execute_all();
        }
        check_end();
    }

   private:
    std::string in(std::string_view part, std::string_view name) const {
        return options_.path + '/' + std::string{part} + '/' + std::string{name};
    }

    void open() {
        const auto fault = std::exchange(fault_in_, 0);
        if (!doubtful_.empty()) ++expected_[std::exchange(doubtful_, {})].crashes;
        spool_.reset();
        auto opened = Spool::open(options_);
        require(static_cast<bool>(opened), "the spool can be opened");
        spool_ = std::move(*opened);
        fault_in_ = fault;
    }

    std::string name() { return std::string{names[input_.byte() % std::size(names)]}; }
    std::string content() {
        const auto choice = input_.byte();
        if (choice < 250) return std::string{contents[choice % std::size(contents)]};
        return std::string{text_of(input_.take(choice))};
    }

    void step() {
        switch (input_.byte() % 14) {
            case 0:
            case 1:
            case 2:
                return put();
            case 3:
            case 4:
                return execute_next(false);
            case 5:
                return execute_next(true);
            case 6:
                return spool_->rescan();
            case 7:
                return open();
            case 8:
                return damage_cur();
            case 9:
                return put_something_else();
            case 10:
                return withdraw();
            case 11:
                fault_in_ = 1 + input_.byte() % 40;
                fault_ = input_.flag() ? ENOSPC : EIO;
                return;
            case 12:
                return void(spool_->sweep(1 + input_.byte() % 8));
            default:
                return spool_->notice(name());
        }
    }

    void put() {
        const auto which = name(), what = content();
        test::write_to(in("tmp", which), what);
        std::error_code ignored;
        std::filesystem::rename(in("tmp", which), in("new", which), ignored);
        if (ignored) return;  // a folder has that name
        expect(which, what);
        if (input_.flag()) spool_->notice(which);
    }

    void expect(const std::string& which, const std::string& what) {
        auto& expected = expected_[which];
        ++expected.files;
        expected.contents.insert(what);
    }

    /// The next file: executes it, or ends the process while it is executed.
    void execute_next(bool crash) {
        auto next = spool_->next();
        if (const auto* rejected = std::get_if<SpoolRejection>(&next)) {
            require(rejected->why.error.has_value() && !rejected->name.empty(), "a rejection has a reason");
        }
        auto* command = std::get_if<SpoolCommand>(&next);
        if (command == nullptr) return;
        const auto which = command->name;
        auto& expected = expected_[which];
        ++expected.executed;
        require(expected.contents.contains(command->content), "a command has the content that was written");
        require(expected.executed <= expected.files + expected.crashes, "a command is repeated only after a crash");
        if (crash) {
            ++expected.crashes;
            return open();
        }
        const bool faulty = fault_in_ != 0;
        auto answer = answer_to(command->content);
        const bool failed = answer.error.has_value(), wanted = answer.wanted;
        spool_->finish(std::move(*command), std::move(answer));
        if (faulty) doubtful_ = which;
        if (!faulty && wanted && !foreign_ && !expected.withdrawn) check_answer(which, failed);
    }

    static Answer answer_to(std::string_view content) {
        if (content == "fail") return Answer::failed(CommandErrc::refused, "no such id");
        if (content == "gone") return Answer::failed(CommandErrc::gone, "it has ended");
        auto answer = Answer::done("done\n");
        answer.wanted = content != "quiet";
        return answer;
    }

    void check_answer(const std::string& which, bool failed) const {
        const auto done = test::text_in(in("done", which)), failure = test::text_in(in("failed", which));
        require(done.empty() != failure.empty(), "a command has one answer");
        require((failed ? failure : done).starts_with(failed ? "error " : "ok"), "the answer says how it ended");
    }

    /// Files in cur/ as a crash leaves them, and others. The daemon is not running.
    void damage_cur() {
        spool_.reset();
        const auto which = name(), what = content();
        const auto file = which + std::string{marks[input_.byte() % std::size(marks)]};
        std::error_code ignored;
        if (!std::filesystem::is_directory(in("cur", file), ignored)) test::write_to(in("cur", file), what);
        expect(which, what);
        expected_[which].withdrawn = true;
        open();
    }

    /// A folder, a link or a file with an invalid name in new/.
    void put_something_else() {
        foreign_ = true;
        const auto which = name();
        std::error_code ignored;
        switch (input_.byte() % 4) {
            case 0:
                ::mkdir(in("new", which).c_str(), 0700);
                break;
            case 1:
                std::filesystem::create_symlink("/etc/passwd", in("new", which), ignored);
                break;
            case 2:
                test::write_to(in("new", "not a name"), "x");
                break;
            default:
                ::mkdir(in("done", which).c_str(), 0700);
        }
        expected_[which].withdrawn = true;
    }

    void withdraw() {
        const auto which = name();
        expected_[which].withdrawn = true;
        ::unlink(in("new", which).c_str());
    }

    void execute_all() {
        for (int tries = 0; tries < 200; ++tries) {
            spool_->rescan();
            auto next = spool_->next();
            if (std::holds_alternative<SpoolIdle>(next) && !spool_->has_unsettled()) break;
            require(tries < 199, "the spool becomes idle");
            require(!std::holds_alternative<SpoolBlocked>(next), "without faults nothing is blocked");
            auto* command = std::get_if<SpoolCommand>(&next);
            if (command == nullptr) continue;
            ++expected_[command->name].executed;
            require(expected_[command->name].contents.contains(command->content), "the content that was written");
            auto answer = answer_to(command->content);
            spool_->finish(std::move(*command), std::move(answer));
        }
    }

    void check_end() {
        for (const auto& [which, expected] : expected_) {
            require(expected.executed <= expected.files + expected.crashes, "a command is repeated only after a crash");
            const bool must = expected.files > 0 && !expected.withdrawn && expected.crashes == 0;
            if (must) require(expected.executed >= 1, "each command is executed");
        }
        require(test::names_in(options_.path + "/cur").empty(), "nothing stays in cur/");
        if (!foreign_) require(test::names_in(options_.path + "/new").empty(), "nothing stays in new/");
    }

    FuzzInput& input_;
    test::TemporaryFolder folder_;
    SpoolOptions options_;
    std::unique_ptr<Spool> spool_;
    std::map<std::string, Expectation> expected_;
    int fault_in_ = 0;
    int fault_ = 0;
    std::string doubtful_{};  ///< executed, but a fault may have kept the disk from knowing it
    bool foreign_ = false;    ///< something that is not a file was put into the spool, so answers may have other names
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    FuzzInput input{{data, size}};
    Play{input}.run();
    return 0;
}
