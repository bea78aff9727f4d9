// The spool: a folder where scripts leave commands as files and find the answers, though nobody runs at the moment.
//
//   tmp/     writers create their file here
//   new/     ... and rename it into here: from now on it is a command
//   cur/     the command that is being executed; after a crash, the one that was
//   done/    answers, under the command's name
//   failed/  commands that failed, each behind the line that says why; and what was no command, as NAME~refused
//   lock     held by the process that executes commands; its process id is in it
//
// A command is a line of words, a newline, and a payload to the last byte. docs/spool-format.md has the whole of it.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "wsserver/base/result.hpp"
#include "wsserver/control/command.hpp"

namespace wsserver {

/// What happens to one command, in this order. A crash may come behind any of them.
enum class SpoolStep : std::uint8_t {
    accepted,        ///< in cur/; what an older command of that name left in done/ and failed/ is gone
    executed,        ///< done, but nobody knows
    answer_written,  ///< under a name that no command can have
    answered,        ///< in done/ or failed/
    forgotten,       ///< out of cur/
};

struct SpoolOptions {
    std::string path{};
    std::uint64_t max_file = std::uint64_t{64} << 20;                    ///< bytes of one command
    std::chrono::milliseconds keep{std::chrono::minutes{10}};            ///< answers in done/
    std::chrono::milliseconds keep_failed{std::chrono::hours{7 * 24}};   ///< in failed/
    std::chrono::milliseconds keep_unfinished{std::chrono::hours{1}};    ///< in tmp/, since the last write
    std::function<void(SpoolStep, std::string_view name)> after_step{};  ///< tests stop the world here
};

struct SpoolCommand {
    std::string name{};
    std::string content{};  ///< the whole file
    uid_t owner = 0;
    ino_t number = 0;  ///< the file's
};

/// Letters, digits, `.`, `_` and `-`, 1 to 128 of them; neither `.` nor `..`.
bool is_command_file_name(std::string_view name) noexcept;

/// Whose files are commands.
struct SpoolRules {
    uid_t user = 0;                ///< wsd's own; root's are taken too
    std::optional<gid_t> group{};  ///< the folder's, if it has the setgid bit
    std::uint64_t max_file = 0;
};

/// Why a file can't be a command; nothing if it can. `file` as lstat() gives it: what it is not is never opened.
std::optional<Answer> refusal_of(const struct stat& file, const SpoolRules& rules);

/// Who executes the commands of a spool. Asks without taking the lock, so it can't get in the way of a daemon.
struct SpoolHolder {
    bool held = false;
    pid_t pid = 0;  ///< 0: not known
};
/// An error says why it can't be found out: no such folder, no permission.
Result<SpoolHolder, std::string> spool_holder(const std::string& path);

/// One thread uses it. Nothing here throws but std::bad_alloc.
class Spool {
   public:
    /// Creates what is missing and takes the lock. An error says what is wrong with the folder and what to do, or
    /// which process holds it.
    static Result<std::unique_ptr<Spool>, std::string> open(SpoolOptions options);
    ~Spool();
    Spool(const Spool&) = delete;
    Spool& operator=(const Spool&) = delete;

    /// A file of that name has come into new/.
    void notice(std::string_view name);
    /// Something may have come unnoticed.
    void rescan();

    enum class Progress : std::uint8_t {
        idle,     ///< all commands that are known of are answered
        more,     ///< `most` were dealt with, there may be others
        blocked,  ///< the disk is full, or worse: trouble() says what; call again later, no command is lost
    };
    using Execute = std::function<Answer(const SpoolCommand&)>;

    /// Executes commands in the order of their names: first those that a crash left in cur/, then those in new/.
    /// Those that are refused count too. `execute` gets only what is a proper command; it must not throw.
    Progress run(std::size_t most, const Execute& execute);
    const std::string& trouble() const noexcept;

    /// Called for what was refused: its name (printable) and why.
    void on_refused(std::function<void(std::string_view name, const Answer& why)> listener);

    /// Looks at `most` files and removes those that are too old. True: one round through all folders is complete.
    bool sweep(std::size_t most);

    /// False when the folder, one of its parts or the lock has been removed or replaced: open it again.
    bool in_place() const;

    /// A command that was executed, but whose answer found no room or no folder.
    struct Unanswered {
        SpoolCommand command{};
        Answer answer{};
    };
    /// Takes it out, to be given to the spool that is opened in place of this one.
    std::optional<Unanswered> take_unanswered();
    /// If its file still lies in cur/, it is answered before all others, and not executed again.
    void answer_first(Unanswered unanswered);

    /// Takes new limits; the path stays.
    void reconfigure(const SpoolOptions& options);

    const std::string& path() const noexcept;
    std::string new_folder() const { return path() + "/new"; }

   private:
    struct Impl;
    explicit Spool(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace wsserver
