// A running program of a script, and the pipes to it.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "wsserver/base/descriptor.hpp"
#include "wsserver/base/result.hpp"

namespace wsserver {

/// A process whose standard streams are pipes. The destructor kills it and its process group.
class ScriptProcess {
   public:
    /// Starts `command`, whose first word is a path, with exactly this environment (`NAME=VALUE`) and no other
    /// descriptors.
    static Result<ScriptProcess, std::string> start(std::vector<std::string> command,
                                                    std::vector<std::string> environment);

    ScriptProcess(ScriptProcess&& other) noexcept
        : process_(std::exchange(other.process_, 0)),
          end_(std::move(other.end_)),
          input_(std::move(other.input_)),
          output_(std::move(other.output_)),
          errors_(std::move(other.errors_)) {}
    ScriptProcess& operator=(ScriptProcess&&) = delete;
    ~ScriptProcess();

    // The ends of the pipes, which do not block; -1 if closed.
    int input() const noexcept { return input_.get(); }
    int output() const noexcept { return output_.get(); }
    int errors() const noexcept { return errors_.get(); }
    void close_input() noexcept { input_.reset(); }
    void close_output() noexcept { output_.reset(); }
    void close_errors() noexcept { errors_.reset(); }
    /// Readable when it has ended.
    int end() const noexcept { return end_.get(); }
    pid_t id() const noexcept { return process_; }

    /// Sends a signal to it and its process group.
    void signal(int number) const noexcept;
    /// Whether it has ended; take_end() says how.
    bool has_ended() const noexcept;
    /// How it has ended, in words; nothing if it has not. After that, there is no process any more.
    std::optional<std::string> take_end();

   private:
    ScriptProcess(pid_t process, Descriptor end, Descriptor input, Descriptor output, Descriptor errors) noexcept
        : process_(process),
          end_(std::move(end)),
          input_(std::move(input)),
          output_(std::move(output)),
          errors_(std::move(errors)) {}

    pid_t process_;  ///< 0: none
    Descriptor end_, input_, output_, errors_;
};

}  // namespace wsserver
