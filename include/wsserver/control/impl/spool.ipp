#pragma once

#include "wsserver/control/spool.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <deque>
#include <map>
#include <new>
#include <set>
#include <utility>
#include <variant>

#include "wsserver/base/shell_words.hpp"
#include "wsserver/control/detail/spool_folders.hpp"

namespace wsserver {

namespace {

/// Not a name that a command file can have.
const std::string answer_being_written = "answer~";

/// How many names are kept in memory. The others are read from the folder later.
constexpr std::size_t max_pending = 4096;

/// The name of a rejected file in failed/, next to the reason. Not a name that a command file can have.
std::string refused_name(const std::string& name) { return name + "~refused"; }

/// A valid name for a file with an invalid one: readable, and with a hash (FNV-1a) to tell such files apart.
std::string replacement_for(std::string_view name) {
    std::uint64_t hash = 14695981039346656037U;
    std::string readable;
    for (const char c : name) {
        hash = (hash ^ static_cast<std::uint8_t>(c)) * 1099511628211U;
        if (readable.size() < 100) readable += is_command_file_name(std::string_view{&c, 1}) ? c : '_';
    }
    return fmt::format("{}-{:016x}", readable, hash);
}

Answer refuse(CommandErrc code, std::string text) { return Answer::failed(code, std::move(text)); }

/// Trouble that ends by itself or that an operator must end. The command waits; it is not rejected.
bool is_temporary(std::error_code error) {
    return error == std::errc::no_space_on_device || error == std::errc::read_only_file_system ||
           error == std::errc::io_error || error == std::errc::too_many_files_open ||
           error == std::errc::too_many_files_open_in_system || error == std::errc::not_enough_memory ||
           error == std::error_code{EDQUOT, std::system_category()};
}

bool is_gone(std::error_code error) { return error == std::errc::no_such_file_or_directory; }

}  // namespace

struct Spool::Impl {
    SpoolOptions options;
    SpoolFolders folders;
    std::function<void(std::string_view, const Answer&)> refused{};

    std::deque<std::string> interrupted{};  ///< found in cur/ at the start, in order
    std::set<std::string> pending{};        ///< the smallest known names in new/
    bool truncated = false;                 ///< new/ has more names after the last of `pending`
    bool scan_needed = true;
    std::map<std::string, ino_t> immovable{};  ///< rejected, and still in new/ because they cannot be moved

    std::optional<Unanswered> unanswered{};
    std::string trouble{};

    std::size_t sweep_folder = 0;
    FolderStream sweep_stream{};

    Impl(SpoolOptions o, SpoolFolders f) : options(std::move(o)), folders(std::move(f)) {}

    enum class Step : std::uint8_t { done, nothing, blocked };

    // --- finding commands
    bool scan_interrupted();
    bool is_still(const std::pair<const std::string, ino_t>& known) const;
    bool scan();
    Step next();

    // --- executing one
    Step accept(const std::string& name, const Execute& execute);
    Step settle(const std::string& name, bool interrupted, const Execute& execute);
    std::variant<SpoolCommand, Answer, Step> read(const std::string& name);
    Step give_answer();
    Step refuse_file(const Descriptor& folder, const std::string& name, const Answer& why);
    std::error_code put_aside(const Descriptor& folder, const std::string& name, const Descriptor& to, std::string as,
                              ino_t number);
    bool make_way(const Descriptor& folder, const std::string& name);
    bool move_answer(const Descriptor& folder, const std::string& name);
    bool forget_answers(const std::string& name);
    bool is_answered(const std::string& name) const;

    Step block(std::string_view what, std::error_code error) {
        trouble = fmt::format("spool {}: {}: {}", folders.path, what, error.message());
        return Step::blocked;
    }
    void after(SpoolStep step, std::string_view name) {
        if (options.after_step) options.after_step(step, name);
    }
    SpoolRules rules() const { return {::geteuid(), folders.group, options.max_file}; }
};

// --- finding commands

bool Spool::Impl::scan_interrupted() {
    const auto stream = read_folder(folders.cur);
    if (!stream) return false;
    while (const dirent* entry = ::readdir(stream.get())) {
        if (!is_dot(*entry) && entry->d_name != answer_being_written) interrupted.emplace_back(entry->d_name);
    }
    std::sort(interrupted.begin(), interrupted.end());
    return true;
}

/// Is this still the same file in new/? (On an overlay, readdir() may report another inode number than lstat().)
bool Spool::Impl::is_still(const std::pair<const std::string, ino_t>& known) const {
    struct stat status;
    return ::fstatat(folders.fresh.get(), known.first.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           status.st_ino == known.second;
}

/// Fills `pending` with the smallest names. So memory is bounded, however many files there are, and the order holds.
bool Spool::Impl::scan() {
    const auto stream = read_folder(folders.fresh);
    if (!stream) return false;
    truncated = false;
    std::map<std::string, ino_t> still_immovable;
    while (const dirent* entry = ::readdir(stream.get())) {
        if (is_dot(*entry)) continue;
        std::string name{entry->d_name};
        if (const auto known = immovable.find(name); known != immovable.end() && is_still(*known)) {
            still_immovable.insert(*known);
            continue;
        }
        pending.insert(std::move(name));
        if (pending.size() > max_pending) {
            pending.erase(std::prev(pending.end()));
            truncated = true;
        }
    }
    immovable = std::move(still_immovable);
    scan_needed = truncated;
    return true;
}

/// Ensures that `interrupted` or `pending` is not empty, if there is any file.
Spool::Impl::Step Spool::Impl::next() {
    if (!interrupted.empty() || !pending.empty()) return Step::done;
    if (!scan_needed) return Step::nothing;
    if (!scan()) return block("new/ cannot be read", last_error());
    return pending.empty() ? Step::nothing : Step::done;
}

// --- executing one

/// Removes an answer. A folder with that name is not an answer; it is renamed.
bool Spool::Impl::make_way(const Descriptor& folder, const std::string& name) {
    if (::unlinkat(folder.get(), name.c_str(), 0) == 0 || errno == ENOENT) return true;
    struct stat status;
    if (::fstatat(folder.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(status.st_mode)) {
        return false;
    }
    // Within the same folder: moving a folder to another one requires that it belongs to this user.
    return !put_aside(folder, name, folder, refused_name(name), status.st_ino);
}

/// cur/ -> done/ or failed/.
bool Spool::Impl::move_answer(const Descriptor& folder, const std::string& name) {
    const auto move = [&] {
        return ::renameat(folders.cur.get(), answer_being_written.c_str(), folder.get(), name.c_str()) == 0;
    };
    return move() || (errno == EISDIR && make_way(folder, name) && move());
}

bool Spool::Impl::forget_answers(const std::string& name) {
    return make_way(folders.done, name) && make_way(folders.failed, name);
}

bool Spool::Impl::is_answered(const std::string& name) const {
    struct stat status;
    const auto is_in = [&](const Descriptor& folder) {
        return ::fstatat(folder.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(status.st_mode);
    };
    return is_in(folders.done) || is_in(folders.failed);
}

/// new/ -> cur/. First removes the answers to an older command of that name. So an answer to a file that is in cur/
/// always means that this command was executed.
Spool::Impl::Step Spool::Impl::accept(const std::string& name, const Execute& execute) {
    if (!is_command_file_name(name)) {
        return refuse_file(folders.fresh, name,
                           refuse(CommandErrc::bad_name,
                                  "invalid command file name: use at most 128 letters, digits, `.`, `_` and `-`"));
    }
    struct stat status;
    // An event and a scan may both have found it. If it is gone it was answered, and the answer must stay.
    if (::fstatat(folders.fresh.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return Step::done;
    if (!forget_answers(name)) return block("an old answer cannot be removed", last_error());
    const auto error = move_file(folders.fresh, name, folders.cur, name);
    if (!error) {
        after(SpoolStep::accepted, name);
        return settle(name, false, execute);
    }
    if (is_gone(error)) return Step::done;  // its writer has withdrawn it
    if (is_temporary(error)) return block("a command cannot be moved to cur/", error);
    return refuse_file(folders.fresh, name,
                       refuse(CommandErrc::bad_file, "it cannot be moved to cur/: " + error.message()));
}

/// Executes a file in cur/.
Spool::Impl::Step Spool::Impl::settle(const std::string& name, bool was_interrupted, const Execute& execute) {
    auto read_in = read(name);
    if (const auto* step = std::get_if<Step>(&read_in)) {
        if (*step == Step::blocked) interrupted.push_front(name);
        return *step;
    }
    if (const auto* why = std::get_if<Answer>(&read_in)) {
        const auto step = refuse_file(folders.cur, name, *why);
        if (step == Step::blocked) interrupted.push_front(name);
        return step;
    }
    if (was_interrupted && is_answered(name)) {
        ::unlinkat(folders.cur.get(), name.c_str(), 0);
        return Step::done;
    }
    auto& command = std::get<SpoolCommand>(read_in);
    auto answer = execute(command);
    after(SpoolStep::executed, name);
    unanswered.emplace(Unanswered{std::move(command), std::move(answer)});
    return give_answer();
}

/// The command; or why the file is not one; or Step::done if it has vanished, Step::blocked if it must wait.
std::variant<SpoolCommand, Answer, Spool::Impl::Step> Spool::Impl::read(const std::string& name) {
    struct stat status;
    if (::fstatat(folders.cur.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
        return is_gone(last_error()) ? Step::done : block("a command cannot be examined", last_error());
    }
    if (auto why = refusal_of(status, rules())) return *why;
    // Only this process writes to cur/, so this is the file that was checked. Nevertheless: no links, no blocking, and
    // a second check.
    const Descriptor file{
        ::openat(folders.cur.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)};
    if (!file) {
        const auto error = last_error();
        if (is_gone(error)) return Step::done;
        if (is_temporary(error)) return block("a command cannot be opened", error);
        return refuse(CommandErrc::unreadable, "the file cannot be read: " + error.message() + " (chmod u+r or g+r)");
    }
    if (::fstat(file.get(), &status) != 0) return block("a command cannot be examined", last_error());
    if (auto why = refusal_of(status, rules())) return *why;

    SpoolCommand command{name, {}, status.st_uid, status.st_ino};
    try {
        command.content.resize(static_cast<std::size_t>(status.st_size));
    } catch (const std::bad_alloc&) {
        return block("a command cannot be read", std::make_error_code(std::errc::not_enough_memory));
    }
    std::size_t have = 0;
    // Not mapped into memory: its writer could still truncate it, and then reading the mapping would crash.
    while (have < command.content.size()) {
        const auto got = ::read(file.get(), command.content.data() + have, command.content.size() - have);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return refuse(CommandErrc::unreadable, "the file cannot be read: " + last_error().message());
        if (got == 0) break;
        have += static_cast<std::size_t>(got);
    }
    command.content.resize(have);
    return command;
}

/// Writes the answer, and only then removes the command. If blocked, call it again; the command must not be executed
/// again.
Spool::Impl::Step Spool::Impl::give_answer() {
    const auto& [command, answer] = *unanswered;
    const auto text = to_text(answer);
    // The file in failed/ contains the command unchanged after the line with the error, so it can be given again.
    const auto error = answer.error ? write_file(folders, answer_being_written, {text, command.content})
                                    : write_file(folders, answer_being_written, {text});
    if (error) return block("an answer cannot be written", error);
    after(SpoolStep::answer_written, command.name);
    const auto& folder = answer.error ? folders.failed : folders.done;
    if (!move_answer(folder, command.name)) return block("an answer cannot be moved to its folder", last_error());
    after(SpoolStep::answered, command.name);
    ::unlinkat(folders.cur.get(), command.name.c_str(), 0);
    after(SpoolStep::forgotten, command.name);
    unanswered.reset();
    return Step::done;
}

std::error_code Spool::Impl::put_aside(const Descriptor& folder, const std::string& name, const Descriptor& to,
                                       std::string as, ino_t number) {
    // rename() does nothing and reports success if both are names of the same file.
    ::unlinkat(to.get(), as.c_str(), 0);
    if (::renameat(folder.get(), name.c_str(), to.get(), as.c_str()) == 0) return {};
    if (is_gone(last_error())) return {};  // withdrawn
    // A folder that is not empty may have that name. Then use a name that nothing else has.
    as += fmt::format("-{}", number);
    return ::renameat(folder.get(), name.c_str(), to.get(), as.c_str()) == 0 ? std::error_code{} : last_error();
}

/// Writes the reason to failed/ under the file's name, and moves the file itself next to it.
Spool::Impl::Step Spool::Impl::refuse_file(const Descriptor& folder, const std::string& name, const Answer& why) {
    const auto shown = is_command_file_name(name) ? name : replacement_for(name);
    struct stat status;
    if (::fstatat(folder.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return Step::done;  // withdrawn
    if (const auto error = write_file(folders, answer_being_written, {to_text(why)})) {
        return block("the reason of a rejection cannot be written", error);
    }
    if (!move_answer(folders.failed, shown))
        return block("the reason of a rejection cannot be moved to failed/", last_error());
    if (const auto error = put_aside(folder, name, folders.failed, refused_name(shown), status.st_ino)) {
        if (is_temporary(error)) return block("a rejected file cannot be moved to failed/", error);
        immovable[name] = status.st_ino;
    }
    if (refused) refused(escape_control(name), why);
    return Step::done;
}

// --- from outside

Spool::Spool(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Spool::~Spool() = default;

Result<std::unique_ptr<Spool>, std::string> Spool::open(SpoolOptions options) {
    auto folders = open_spool_folders(options.path);
    if (!folders) return Unexpected{folders.error()};
    auto impl = std::make_unique<Impl>(std::move(options), std::move(*folders));
    ::unlinkat(impl->folders.cur.get(), answer_being_written.c_str(), 0);
    if (!impl->scan_interrupted()) {
        return Unexpected{fmt::format("spool {}: cur/ cannot be read: {}", impl->folders.path, last_error().message())};
    }
    return std::unique_ptr<Spool>{new Spool{std::move(impl)}};
}

void Spool::notice(std::string_view name) {
    // Before the first scan, or after the names that a scan could keep: a later scan will find it.
    const bool after_known = impl_->pending.empty() || name > *impl_->pending.rbegin();
    if (name.empty() || (impl_->scan_needed && after_known)) return;
    impl_->pending.emplace(name);
    if (impl_->pending.size() > max_pending) {
        impl_->pending.erase(std::prev(impl_->pending.end()));
        impl_->truncated = impl_->scan_needed = true;
    }
}

void Spool::rescan() { impl_->scan_needed = true; }

Spool::Progress Spool::run(std::size_t most, const Execute& execute) {
    using Step = Impl::Step;
    for (std::size_t i = 0; i < most; ++i) {
        auto step = Step::done;
        if (impl_->unanswered) {
            step = impl_->give_answer();
        } else if (step = impl_->next(); step == Step::done) {
            const bool was_interrupted = !impl_->interrupted.empty();
            if (was_interrupted) {
                const auto name = std::move(impl_->interrupted.front());
                impl_->interrupted.pop_front();
                step = impl_->settle(name, true, execute);
            } else {
                const auto name = impl_->pending.extract(impl_->pending.begin()).value();
                step = impl_->accept(name, execute);
                const bool in_cur = impl_->unanswered || !impl_->interrupted.empty();
                if (step == Step::blocked && !in_cur) impl_->pending.insert(name);
            }
        }
        if (step == Step::blocked) return Progress::blocked;
        if (step == Step::nothing) return Progress::idle;
    }
    return Progress::more;
}

const std::string& Spool::trouble() const noexcept { return impl_->trouble; }

void Spool::on_refused(std::function<void(std::string_view, const Answer&)> listener) {
    impl_->refused = std::move(listener);
}

bool Spool::sweep(std::size_t most) {
    struct Kept {
        const Descriptor* folder;
        std::chrono::milliseconds time;
    };
    const std::array<Kept, 3> kept{{{&impl_->folders.tmp, impl_->options.keep_unfinished},
                                    {&impl_->folders.done, impl_->options.keep},
                                    {&impl_->folders.failed, impl_->options.keep_failed}}};
    const auto& [folder, time] = kept[impl_->sweep_folder];
    if (!impl_->sweep_stream) impl_->sweep_stream = read_folder(*folder);
    // Times of files are wall-clock times. Not time(): it may still return the second before the one in which a file
    // was written.
    const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
    const auto limit = std::chrono::duration_cast<std::chrono::seconds>(time).count();
    for (std::size_t i = 0; impl_->sweep_stream && i < most; ++i) {
        const dirent* entry = ::readdir(impl_->sweep_stream.get());
        if (entry == nullptr) {
            impl_->sweep_stream.reset();
            break;
        }
        struct stat status;
        if (is_dot(*entry) || ::fstatat(folder->get(), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
        // A rejected file may be old, but its inode changed when it was moved here.
        if (now - std::max(status.st_mtime, status.st_ctime) < limit) continue;
        ::unlinkat(folder->get(), entry->d_name, S_ISDIR(status.st_mode) ? AT_REMOVEDIR : 0);
    }
    if (impl_->sweep_stream) return false;
    impl_->sweep_folder = (impl_->sweep_folder + 1) % kept.size();
    return impl_->sweep_folder == 0;
}

bool Spool::in_place() const { return impl_->folders.in_place(); }

std::optional<Spool::Unanswered> Spool::take_unanswered() { return std::exchange(impl_->unanswered, std::nullopt); }

void Spool::answer_first(Unanswered unanswered) {
    struct stat status;
    const auto& command = unanswered.command;
    const bool is_there =
        ::fstatat(impl_->folders.cur.get(), command.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        status.st_ino == command.number;
    if (!is_there) return;
    std::erase(impl_->interrupted, command.name);
    impl_->unanswered = std::move(unanswered);
}

void Spool::reconfigure(const SpoolOptions& options) {
    impl_->options.max_file = options.max_file;
    impl_->options.keep = options.keep;
    impl_->options.keep_failed = options.keep_failed;
    impl_->options.keep_unfinished = options.keep_unfinished;
}

const std::string& Spool::path() const noexcept { return impl_->folders.path; }

}  // namespace wsserver
