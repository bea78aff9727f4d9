// The spool: a folder in which scripts leave commands as files and find the answers, even if no daemon is running.
//
//   tmp/     writers create their file here
//   new/     ... and rename it into this folder; from then on it is a command
//   cur/     the command that is being executed, or that was when the daemon crashed; its name says how far it is
//   done/    answers, under the name of the command file
//   failed/  commands that failed, each after a line with the reason; and rejected files, as NAME~refused
//   lock     locked by the process that executes commands; contains its process id
//
// A command file is a line of words, a newline, and a payload up to the last byte. docs/spool-format.md has the
// details.
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
#include <system_error>
#include <variant>
#include <vector>

#include "wsserver/base/result.hpp"
#include "wsserver/control/command.hpp"

namespace wsserver {

/// For tests: called before each system call on a file of the spool, with the call's name. An error becomes the result
/// of that call, which is then not made.
using SpoolFault = std::function<std::error_code(std::string_view call)>;

/// The folder of a spool and its limits.
struct SpoolOptions {
    std::string path{};                                ///< the folder; it and its parents are created if missing
    std::uint64_t max_file = std::uint64_t{64} << 20;  ///< bytes of one command file
    std::chrono::milliseconds keep{std::chrono::minutes{10}};          ///< files in done/
    std::chrono::milliseconds keep_failed{std::chrono::hours{1}};      ///< files in failed/
    std::chrono::milliseconds keep_unfinished{std::chrono::hours{1}};  ///< files in tmp/, since the last write
    std::size_t max_answers = 10'000;  ///< files in done/, and files in failed/; the oldest are removed first
    std::uint64_t max_answers_size = std::uint64_t{256} << 20;       ///< bytes in done/, and bytes in failed/
    std::function<std::chrono::steady_clock::time_point()> clock{};  ///< for tests; not set: the steady clock
    std::vector<std::string> group_may = commands_for_group();  ///< names of commands that the spool's group may give
    SpoolFault before_call{};                                   ///< for tests
};

/// A command to be executed.
struct SpoolCommand {
    std::string name{};     ///< of the file
    std::string content{};  ///< the whole file
    uid_t owner = 0;        ///< the user that owns the file
    bool of_group = false;  ///< a member of the spool's group may have written it
    bool again = false;     ///< a process that ended had begun to execute it; whether it took effect is not known
};

/// A file that was answered without being executed: it is not a command, or processes ended while they executed it.
struct SpoolRejection {
    std::string name{};  ///< escaped
    Answer why{};        ///< with an error
};

/// All known commands have been answered.
struct SpoolIdle {};

/// The disk is full or similar. No command is lost: try again later.
struct SpoolBlocked {
    std::string why{};  ///< one line for the log
};

/// What a spool has next.
using SpoolNext = std::variant<SpoolCommand, SpoolRejection, SpoolIdle, SpoolBlocked>;

/// True for 1 to 128 letters, digits, `.`, `_` and `-`, except `.` and `..`.
bool is_command_file_name(std::string_view name) noexcept;

/// Which files are accepted as commands.
struct SpoolRules {
    uid_t user = 0;                ///< the daemon's user; files of root are accepted, too
    std::optional<gid_t> group{};  ///< the folder's group, if the folder has the setgid bit
    std::uint64_t max_file = 0;    ///< bytes
};

/// Why a file is not a command; nothing if it is one. `file` is the result of lstat(), so a file can be rejected
/// without opening it.
std::optional<Answer> refusal_of(const struct stat& file, const SpoolRules& rules);

/// Whether a member of the group may have written the file: one that belongs to another user, or that the group may
/// change.
bool is_of_group(const struct stat& file, const SpoolRules& rules);

/// The process that executes the commands of a spool.
struct SpoolHolder {
    bool held = false;  ///< there is one
    pid_t pid = 0;      ///< 0: not known
};
/// Finds out who holds the lock of the spool at `path`, without taking the lock. There is no holder if the
/// folder does not exist. An error says why it cannot be found out, such as missing permission.
Result<SpoolHolder, std::string> spool_holder(const std::string& path);

/// The folders of one spool. For one thread. Throws nothing but std::bad_alloc.
class Spool {
   public:
    /// Creates missing folders and takes the lock. An error says what is wrong with the folder and what to do, or
    /// which process holds the lock.
    static Result<std::unique_ptr<Spool>, std::string> open(SpoolOptions options);
    ~Spool();
    Spool(const Spool&) = delete;
    Spool& operator=(const Spool&) = delete;

    /// Says that a complete file with that name is in new/.
    void notice(std::string_view name);
    /// Says that files may be in new/ without a notice. The next next() reads the folder. A file that somebody has open
    /// for writing is not a command yet. Where that cannot be found out (files of other users, network file systems),
    /// a file is one after two further calls of rescan() that find its size and time unchanged.
    void rescan();
    /// Whether there are such files: call rescan() soon.
    bool has_unsettled() const noexcept;

    /// The next command, in order of name: first those that a crash left in cur/, then those in new/. The space for its
    /// answer is reserved, and the disk says that it has begun. If the process ends before finish(), the next spool on
    /// this folder hands the command out once more, and after that answers it with CommandErrc::crashed.
    ///
    /// Precondition: finish() was called for the previous command.
    SpoolNext next();
    /// Answers the command that next() returned last. The command is never handed out again. If the answer cannot be
    /// written now, next() tries again before anything else, and so does the next spool on this folder.
    void finish(SpoolCommand command, Answer answer);

    /// Looks at no more than `most` files and removes those that are too old or too many. The age of a file counts from
    /// when this process saw it first. Returns true at the end of a round through all folders.
    bool sweep(std::size_t most);

    /// False if the folder, one of its parts or the lock has been removed or replaced. Open the spool again then.
    bool in_place() const;

    /// Sets new limits. The path stays.
    void reconfigure(const SpoolOptions& options);

    /// The folder of the spool. Valid as long as this object.
    const std::string& path() const noexcept;
    /// The folder new/, to be watched for new files.
    std::string new_folder() const { return path() + "/new"; }

   private:
    struct Impl;
    explicit Spool(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace wsserver
