// A spool of a simulation: scripts leave commands, the disk fails, and the daemon ends at any system call.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "simulate/ledger.hpp"
#include "simulate/random.hpp"
#include "support/folder.hpp"
#include "wsserver/control/spool.hpp"

namespace wsserver::simulate {

class SpoolWork {
   public:
    /// `execute` is called for each command.
    SpoolWork(Random& random, std::function<void()> execute);

    /// One of: a script leaves a command, the daemon takes one, answers one, ends and starts again.
    void act();
    /// The disk works again, and all commands are answered. Throws Violation if one was lost, was executed too often,
    /// or has not exactly one answer.
    void check_end();

   private:
    std::string in(const char* part, const std::string& name) const;
    void open();
    void put();
    void take();
    void answer();
    /// The daemon dies: no call that it still makes reaches the disk.
    void die();
    std::error_code before_call();

    Random& random_;
    std::function<void()> execute_;
    test::TemporaryFolder folder_;
    std::unique_ptr<Spool> spool_;
    std::optional<SpoolCommand> taken_;
    std::map<std::string, int> executed_;  ///< how often, by command
    bool faulty_ = true;
    bool dead_ = false;
};

}  // namespace wsserver::simulate
