#include "simulate/spool_work.hpp"

#include <cerrno>
#include <filesystem>
#include <utility>
#include <variant>

namespace wsserver::simulate {

SpoolWork::SpoolWork(Random& random, std::function<void()> execute) : random_(random), execute_(std::move(execute)) {
    faulty_ = false;  // a daemon that cannot open its spool does not start
    open();
    faulty_ = true;
}

std::string SpoolWork::in(const char* part, const std::string& name) const {
    return folder_ / "spool" + '/' + part + '/' + name;
}

std::error_code SpoolWork::before_call() {
    if (!faulty_) return {};
    if (random_.one_in(400)) dead_ = true;
    if (dead_) return {EIO, std::system_category()};
    const int errors[] = {ENOSPC, EIO, EMFILE};
    return random_.one_in(60) ? std::error_code{random_.one_of(errors), std::system_category()} : std::error_code{};
}

void SpoolWork::open() {
    SpoolOptions options;
    options.path = folder_ / "spool";
    options.before_call = [this](std::string_view) { return before_call(); };
    auto opened = Spool::open(std::move(options));
    if (!opened) throw Violation{"the spool cannot be opened: " + opened.error()};
    spool_ = *std::move(opened);
}

void SpoolWork::act() {
    if (random_.chance(30)) put();
    taken_ ? answer() : take();
    if (dead_) die();
}

void SpoolWork::put() {
    std::string number = std::to_string(executed_.size());
    const std::string name = "c" + std::string(6 - number.size(), '0') + number;
    test::write_to(in("tmp", name), "broadcast\n" + std::string(random_.size(500), 'x'));
    std::filesystem::rename(in("tmp", name), in("new", name));
    executed_[name];
}

void SpoolWork::take() {
    spool_->rescan();
    auto next = spool_->next();
    if (dead_) return;
    if (auto* command = std::get_if<SpoolCommand>(&next)) {
        int& executed = executed_[command->name];
        if (++executed > 2) throw Violation{"command " + command->name + " is executed a third time"};
        if (executed > 1 && !command->again) throw Violation{"a repetition is not told: " + command->name};
        taken_ = std::move(*command);
        execute_();
    }
}

void SpoolWork::answer() {
    auto command = *std::exchange(taken_, std::nullopt);
    const bool fails = random_.chance(30);
    spool_->finish(std::move(command),
                   fails ? Answer::failed(CommandErrc::gone, "no such id") : Answer::done("sent\n"));
}

void SpoolWork::die() {
    taken_.reset();
    spool_.reset();
    dead_ = false;
    const bool before = std::exchange(faulty_, false);
    open();
    faulty_ = before;
}

void SpoolWork::check_end() {
    if (taken_) answer();
    if (dead_) die();
    faulty_ = false;
    std::size_t idle = 0;
    for (std::size_t tries = 0; idle < 3; ++tries) {
        if (tries > 10 * executed_.size() + 100) throw Violation{"the spool never becomes idle"};
        take();
        taken_ ? answer() : static_cast<void>(++idle);
    }
    for (const auto& [name, executed] : executed_) {
        const bool done = test::exists(in("done", name));
        if (done == test::exists(in("failed", name))) {
            throw Violation{"command " + name + (done ? " has two answers" : " has no answer")};
        }
        if (executed == 0) throw Violation{"command " + name + " was never executed"};
    }
}

}  // namespace wsserver::simulate
