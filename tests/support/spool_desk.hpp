// A spool, and what a test does with it as its writers and its daemon do.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "support/catch.hpp"
#include "support/folder.hpp"
#include "support/strings.hpp"
#include "wsserver/control/spool.hpp"

namespace wsserver::test {

/// A spool that records what it executes; commands that begin with `fail` fail.
struct Desk {
    TemporaryFolder folder;
    SpoolOptions options;
    std::unique_ptr<Spool> spool;
    Strings executed{};
    std::map<std::string, std::string> contents{};
    std::map<std::string, std::string> refused{};
    std::function<void(const SpoolCommand&)> on_execute{};  ///< called while a command is being executed

    explicit Desk(SpoolOptions o = {}) : options(std::move(o)) {
        options.path = folder / "spool";
        open();
    }
    void open() {
        spool.reset();
        auto opened = Spool::open(options);
        if (!opened) FAIL(opened.error());
        spool = std::move(*opened);
    }

    std::string in(std::string_view part, std::string_view name = {}) const {
        return options.path + '/' + std::string{part} + (name.empty() ? "" : '/' + std::string{name});
    }
    /// Writes a command file as a script does.
    void put(const std::string& name, std::string_view content) const {
        write_to(in("tmp", name), content);
        std::filesystem::rename(in("tmp", name), in("new", name));
    }

    Answer execute(const SpoolCommand& command) {
        executed.push_back(command.name);
        contents[command.name] = command.content;
        if (on_execute) on_execute(command);
        if (command.content.starts_with("fail")) return Answer::failed(CommandErrc::refused, "no such id");
        return Answer::done("done " + command.name + '\n');
    }
    /// Executes at most `most` files and returns how it ended: `idle`, `more`, or why it is blocked.
    std::string run(std::size_t most = 1000) {
        spool->rescan();
        return run_known(most);
    }
    /// The same without a look into the folder.
    std::string run_known(std::size_t most = 1000) {
        for (std::size_t i = 0; i < most; ++i) {
            auto next = spool->next();
            if (const auto* blocked = std::get_if<SpoolBlocked>(&next)) return blocked->why;
            if (std::holds_alternative<SpoolIdle>(next)) return "idle";
            if (const auto* rejected = std::get_if<SpoolRejection>(&next)) {
                refused[rejected->name] = to_string(*rejected->why.error);
            }
            if (auto* command = std::get_if<SpoolCommand>(&next)) {
                auto answer = execute(*command);
                spool->finish(std::move(*command), std::move(answer));
            }
        }
        return "more";
    }

    Strings left() const {
        Strings all;
        for (const char* part : {"tmp", "new", "cur"}) {
            for (const auto& name : names_in(in(part))) all.push_back(std::string{part} + '/' + name);
        }
        return all;
    }
};

}  // namespace wsserver::test
