#pragma once

#include "wsserver/control/spool.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <utility>

#include "wsserver/base/shell_words.hpp"
#include "wsserver/control/detail/spool_disk.hpp"
#include "wsserver/control/detail/spool_folders.hpp"
#include "wsserver/control/detail/spool_marks.hpp"
#include "wsserver/control/detail/spool_queue.hpp"
#include "wsserver/control/detail/spool_shelf.hpp"

namespace wsserver {

namespace {

/// Bytes that are reserved for an answer besides those of its command: enough for most of them. A longer one waits for
/// space if the disk is full.
constexpr std::uint64_t answer_space = 16 * 1024;

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

Answer bad_name() {
    return refuse(CommandErrc::bad_name,
                  "invalid command file name: use at most 128 letters, digits, `.`, `_` and `-`");
}

Answer crashed_twice() {
    return refuse(CommandErrc::crashed,
                  "wsd ended twice while it executed this command, which is not tried again; whether it took effect is "
                  "not known");
}

Answer answer_lost() {
    return refuse(CommandErrc::crashed, "the command was executed, and wsd ended before it had written the answer");
}

/// False if the command would fail again. Then it is not kept: sending to connections that have just ended is normal,
/// and may happen often.
bool is_worth_a_retry(CommandErrc code) { return code != CommandErrc::gone && code != CommandErrc::dropped; }

/// What next() returns instead of the command at hand. Nothing: it goes on with the next file.
using Instead = std::optional<SpoolNext>;

}  // namespace

struct Spool::Impl {
    SpoolOptions options;
    SpoolFolders folders;
    SpoolDisk disk;
    SpoolQueue fresh;                            ///< the files in new/
    std::optional<SpoolTraceMap> interrupted{};  ///< what a crash left in cur/; not set: not read yet

    /// What is still to be done for the command at hand.
    enum class Stage : std::uint8_t { executing, executed, written, complete, removed };
    struct Current {
        std::string name{};
        SpoolMark mark = SpoolMark::first;
        Stage stage = Stage::executing;
        Descriptor file{};      ///< the reserved file for the answer
        bool wanted = true;     ///< false: there is no answer
        bool failed = false;    ///< the answer goes to failed/
        std::string text{};     ///< the answer
        std::string content{};  ///< the command, if it follows the answer
    };
    std::optional<Current> current{};

    SpoolShelf drafts;           ///< tmp/
    SpoolShelf answers;          ///< done/
    SpoolShelf failures;         ///< failed/
    std::size_t next_shelf = 0;  ///< whose turn it is in sweep()

    Impl(SpoolOptions o, SpoolFolders f)
        : options(std::move(o)),
          folders(std::move(f)),
          disk(options.before_call),
          fresh(disk, folders.fresh),
          drafts(disk, folders.tmp),
          answers(disk, folders.done),
          failures(disk, folders.failed) {}

    SpoolNext next();

    // --- what a crash left in cur/
    std::error_code find_interrupted();
    Instead resume(const std::string& name, const SpoolTraces& traces);
    Instead resume_done(const std::string& name, const SpoolTraces& traces);
    Instead give_up(const std::string& name, SpoolMark mark, const Answer& why);

    // --- a new one
    Instead take(const std::string& name);
    Instead begin(const std::string& name, SpoolMark mark, Descriptor reserved);
    Result<SpoolCommand, Instead> read(const std::string& name, SpoolMark mark);

    // --- its answer
    void answer(SpoolCommand command, const Answer& answer);
    Result<Descriptor, std::error_code> reserve(const std::string& name, std::uint64_t command_size);
    void share_if(bool of_group, const Descriptor& file) const;
    Instead complete();
    Instead complete_without_answer();
    Instead block_as_done(std::string_view what, std::error_code error);
    std::error_code move_answer(const std::string& from, const Descriptor& folder, const std::string& name);
    std::error_code forget_answers(const std::string& name);
    std::error_code make_way(const Descriptor& folder, const std::string& name);

    // --- files that are not commands
    Instead refuse_file(const Descriptor& folder, const std::string& file, const std::string& name, const Answer& why);
    std::error_code put_aside(const Descriptor& folder, const std::string& file, const Descriptor& to, std::string as,
                              ino_t number);

    SpoolNext block(std::string_view what, std::error_code error) const {
        return SpoolBlocked{fmt::format("spool {}: {}: {}", folders.path, what, error.message())};
    }

    // --- removing old files
    SpoolShelf::Time now() const { return options.clock ? options.clock() : std::chrono::steady_clock::now(); }
    ShelfLimits limits_of(const SpoolShelf& shelf) const;
    void keep(SpoolShelf& shelf, const std::string& name, std::uint64_t bytes);
    bool sweep(std::size_t most);

    SpoolRules rules() const { return {::geteuid(), folders.group, options.max_file}; }
};

namespace {

bool is_blocked(const Instead& instead) { return instead && std::holds_alternative<SpoolBlocked>(*instead); }

}  // namespace

SpoolNext Spool::Impl::next() {
    if (current) {
        if (auto blocked = complete()) return *std::move(blocked);
    }
    if (!interrupted) {
        if (const auto error = find_interrupted()) return block("cur/ cannot be read", error);
    }
    while (!interrupted->empty()) {
        const auto entry = interrupted->extract(interrupted->begin());
        auto instead = resume(entry.key(), entry.mapped());
        if (is_blocked(instead) && !current) interrupted->emplace(entry.key(), entry.mapped());
        if (instead) return *std::move(instead);
    }
    for (;;) {
        auto name = fresh.take();
        if (!name) return block("new/ cannot be read", name.error());
        if (!name->has_value()) return SpoolIdle{};
        auto instead = take(**name);
        if (is_blocked(instead) && interrupted->empty()) fresh.put_back(*std::move(*name));
        if (instead) return *std::move(instead);
    }
}

// --- what a crash left in cur/

std::error_code Spool::Impl::find_interrupted() {
    const auto stream = disk.list(folders.cur);
    if (!stream) return stream.error();
    SpoolTraceMap traces;
    while (const dirent* entry = ::readdir(stream->get())) {
        if (!is_dot(*entry)) add_trace(traces, entry->d_name);
    }
    interrupted = std::move(traces);
    return {};
}

Instead Spool::Impl::resume(const std::string& name, const SpoolTraces& traces) {
    if (!is_command_file_name(name)) return refuse_file(folders.cur, name, name, bad_name());
    const bool is_new = traces.mark == SpoolMark::taken;
    if (traces.mark == SpoolMark::done || (traces.answer && !is_new)) return resume_done(name, traces);
    for (const auto& left : {reserved_name(name), answer_name(name)}) {
        if (const auto error = disk.remove(folders.cur, left)) return block("an old file cannot be removed", error);
    }
    if (!traces.mark) return std::nullopt;
    if (traces.mark == SpoolMark::second) return give_up(name, SpoolMark::second, crashed_twice());
    struct stat status;
    const auto error = disk.examine(folders.cur, marked_name(name, *traces.mark), status);
    if (is_gone(error)) return std::nullopt;
    if (error) return block("a command cannot be examined", error);
    auto reserved = reserve(name, static_cast<std::uint64_t>(status.st_size));
    if (!reserved) return block("there is no space for an answer", reserved.error());
    return begin(name, *traces.mark, *std::move(reserved));
}

/// The command was executed. Its answer is complete, or lost.
Instead Spool::Impl::resume_done(const std::string& name, const SpoolTraces& traces) {
    if (!traces.answer && traces.reserved) return give_up(name, SpoolMark::done, answer_lost());
    if (!traces.answer) {  // it is in its folder, or somebody has removed it
        const auto error = disk.remove(folders.cur, marked_name(name, SpoolMark::done));
        return error ? Instead{block("a command cannot be removed from cur/", error)} : std::nullopt;
    }
    const auto file = disk.open(folders.cur, answer_name(name));
    if (!file && !is_gone(file.error())) return block("an answer cannot be opened", file.error());
    const auto begin = file ? disk.read(*file, 2) : std::string{};
    if (!begin) return block("an answer cannot be read", begin.error());
    Current left{.name = name, .stage = traces.mark ? Stage::complete : Stage::removed};
    left.mark = traces.mark.value_or(SpoolMark::done);
    left.failed = *begin != "ok";
    current = std::move(left);
    return complete();
}

/// Answers a command that is not executed again.
Instead Spool::Impl::give_up(const std::string& name, SpoolMark mark, const Answer& why) {
    auto command = read(name, mark);
    if (!command) return command.error();
    // If the answer was lost, its file must stay: without it, the command would seem to have been answered.
    auto file = mark == SpoolMark::done ? disk.reopen(folders.cur, reserved_name(name))
                                        : reserve(name, command->content.size());
    if (!file && is_gone(file.error())) file = reserve(name, command->content.size());  // somebody has removed it
    if (!file) return block("there is no space for an answer", file.error());
    share_if(command->of_group, *file);
    current = Current{.name = name, .mark = mark, .file = *std::move(file)};
    answer(*std::move(command), why);
    return SpoolRejection{name, why};
}

// --- a new one

/// new/ -> cur/. The space for the answer is reserved before, so on a full disk the command stays in new/, where its
/// writer can take it back.
Instead Spool::Impl::take(const std::string& name) {
    if (!is_command_file_name(name)) return refuse_file(folders.fresh, name, replacement_for(name), bad_name());
    struct stat status;
    const auto examined = disk.examine(folders.fresh, name, status);
    // An event and a scan may both have found it. If it is gone it was answered, and the answer must stay.
    if (is_gone(examined)) return std::nullopt;
    if (examined) return block("a command cannot be examined", examined);
    if (const auto error = forget_answers(name)) return block("an old answer cannot be removed", error);
    // A file that is not a command needs space for the reason only.
    const bool refused = refusal_of(status, rules()).has_value();
    auto reserved = reserve(name, refused ? 0 : static_cast<std::uint64_t>(status.st_size));
    if (!reserved) return block("there is no space for an answer", reserved.error());
    const auto error = disk.move_without_replacing(folders.fresh, name, folders.cur, name);
    if (!error) return begin(name, SpoolMark::taken, *std::move(reserved));
    disk.remove(folders.cur, reserved_name(name));
    if (is_gone(error)) return std::nullopt;  // its writer has withdrawn it
    if (is_temporary(error)) return block("a command cannot be moved to cur/", error);
    return refuse_file(folders.fresh, name, name,
                       refuse(CommandErrc::bad_file, "it cannot be moved to cur/: " + error.message()));
}

/// Begins a command that is in cur/. If that is not possible now, it stays there.
Instead Spool::Impl::begin(const std::string& name, SpoolMark mark, Descriptor reserved) {
    auto command = read(name, mark);
    if (command) {
        const auto begun = mark == SpoolMark::taken ? SpoolMark::first : SpoolMark::second;
        const auto error = disk.move(folders.cur, marked_name(name, mark), folders.cur, marked_name(name, begun));
        if (!error) {
            share_if(command->of_group, reserved);
            command->again = begun == SpoolMark::second;
            current = Current{.name = name, .mark = begun, .file = std::move(reserved)};
            return *std::move(command);
        }
        command = Unexpected{is_gone(error) ? Instead{} : block("a command cannot be marked as begun", error)};
    }
    disk.remove(folders.cur, reserved_name(name));
    if (is_blocked(command.error())) interrupted->insert_or_assign(name, SpoolTraces{.mark = mark});
    return command.error();
}

/// Reads a file in cur/. An error is what next() returns instead, nothing if the file has vanished.
Result<SpoolCommand, Instead> Spool::Impl::read(const std::string& name, SpoolMark mark) {
    const auto file_name = marked_name(name, mark);
    const auto refused = [&](const Answer& why) { return Unexpected{refuse_file(folders.cur, file_name, name, why)}; };
    const auto failed = [&](std::string_view what, std::error_code error) {
        if (is_gone(error)) return Unexpected{Instead{}};
        if (is_temporary(error)) return Unexpected{Instead{block(what, error)}};
        return refused(
            refuse(CommandErrc::unreadable, "the file cannot be read: " + error.message() + " (chmod u+r or g+r)"));
    };
    struct stat status;
    if (const auto error = disk.examine(folders.cur, file_name, status)) {
        return failed("a command cannot be examined", error);
    }
    if (const auto why = refusal_of(status, rules())) return refused(*why);
    // Only this process writes to cur/, so this is the file that was checked. Nevertheless: a second check.
    const auto file = disk.open(folders.cur, file_name);
    if (!file) return failed("a command cannot be opened", file.error());
    if (::fstat(file->get(), &status) != 0) return failed("a command cannot be examined", last_error());
    if (const auto why = refusal_of(status, rules())) return refused(*why);
    auto content = disk.read(*file, static_cast<std::size_t>(status.st_size));
    if (!content) return failed("a command cannot be read", content.error());
    return SpoolCommand{
        .name = name, .content = *std::move(content), .owner = status.st_uid, .of_group = is_of_group(status, rules())};
}

// --- its answer

/// The command at hand has this answer from now on.
void Spool::Impl::answer(SpoolCommand command, const Answer& answer) {
    current->text = to_text(answer);  // first: it may throw
    current->stage = Stage::executed;
    current->failed = answer.error.has_value();
    current->wanted = answer.wanted;
    if (answer.error && is_worth_a_retry(*answer.error)) current->content = std::move(command.content);
}

Result<Descriptor, std::error_code> Spool::Impl::reserve(const std::string& name, std::uint64_t command_size) {
    const auto file_name = reserved_name(name);
    auto file = disk.create(folders.cur, file_name);
    if (!file && file.error() == std::errc::file_exists) {
        if (const auto error = disk.remove(folders.cur, file_name)) return Unexpected{error};
        file = disk.create(folders.cur, file_name);
    }
    if (!file) return file;
    if (const auto error = disk.reserve(*file, command_size + answer_space)) {
        disk.remove(folders.cur, file_name);
        return Unexpected{error};
    }
    return file;
}

/// The group reads answers to its own commands only. The file in cur/ decides, since no one else can replace it.
void Spool::Impl::share_if(bool of_group, const Descriptor& file) const {
    if (of_group) share_with(*folders.group, file.get());
}

/// Does what is left to do for the answer, each step once. Returns SpoolBlocked, or nothing if the command has left
/// cur/. Somebody may have removed a file from cur/ or the whole folder: then there is nothing left to do with it.
Instead Spool::Impl::complete() {
    auto& [name, mark, stage, file, wanted, failed, text, content] = *current;
    switch (stage) {
        case Stage::executing:
            return std::nullopt;
        case Stage::executed:
            if (!wanted) return complete_without_answer();
            // The file in failed/ contains the command after the error, so it can be given again.
            if (const auto error = disk.write(file, {text, content})) {
                return block_as_done("an answer cannot be written", error);
            }
            stage = Stage::written;
            [[fallthrough]];
        case Stage::written:
            if (const auto error = disk.move(folders.cur, reserved_name(name), folders.cur, answer_name(name));
                error && !is_gone(error)) {
                return block_as_done("an answer cannot be marked as complete", error);
            }
            stage = Stage::complete;
            [[fallthrough]];
        case Stage::complete:
            if (const auto error = disk.remove(folders.cur, marked_name(name, mark))) {
                return block("a command cannot be removed from cur/", error);
            }
            stage = Stage::removed;
            [[fallthrough]];
        case Stage::removed:
            if (const auto error = move_answer(answer_name(name), failed ? folders.failed : folders.done, name)) {
                return block("an answer cannot be moved to its folder", error);
            }
            keep(failed ? failures : answers, name, text.size() + content.size());
    }
    current.reset();
    return std::nullopt;
}

/// Without its file a command is done.
Instead Spool::Impl::complete_without_answer() {
    if (const auto error = disk.remove(folders.cur, marked_name(current->name, current->mark))) {
        return block("a command cannot be removed from cur/", error);
    }
    if (const auto error = disk.remove(folders.cur, reserved_name(current->name))) {
        return block("a file for an answer cannot be removed", error);
    }
    current.reset();
    return std::nullopt;
}

/// The answer cannot be completed now. Whatever becomes of it, its command is not executed again.
Instead Spool::Impl::block_as_done(std::string_view what, std::error_code error) {
    auto& [name, mark, stage, file, wanted, failed, text, content] = *current;
    if (mark == SpoolMark::done) return block(what, error);
    const auto unmarked =
        disk.move(folders.cur, marked_name(name, mark), folders.cur, marked_name(name, SpoolMark::done));
    if (unmarked && !is_gone(unmarked)) return block("a command cannot be marked as done", unmarked);
    mark = SpoolMark::done;
    return block(what, error);
}

/// cur/ -> done/ or failed/.
std::error_code Spool::Impl::move_answer(const std::string& from, const Descriptor& folder, const std::string& name) {
    const auto move = [&] { return disk.move(folders.cur, from, folder, name); };
    auto error = move();
    if (error == std::errc::is_a_directory) {
        if (error = make_way(folder, name); !error) error = move();
    }
    if (!is_gone(error)) return error;
    // Either the answer is gone, or its folder.
    struct stat status;
    return is_gone(disk.examine(folders.cur, from, status)) ? std::error_code{} : error;
}

std::error_code Spool::Impl::forget_answers(const std::string& name) {
    const auto error = make_way(folders.done, name);
    return error ? error : make_way(folders.failed, name);
}

/// Removes an answer. A folder with that name is not an answer; it is renamed.
std::error_code Spool::Impl::make_way(const Descriptor& folder, const std::string& name) {
    const auto error = disk.remove(folder, name);
    if (!error) return {};
    struct stat status;
    if (disk.examine(folder, name, status) || !S_ISDIR(status.st_mode)) return error;
    // Within the same folder: moving a folder to another one requires that it belongs to this user.
    return put_aside(folder, name, folder, refused_name(name), status.st_ino);
}

// --- files that are not commands

std::error_code Spool::Impl::put_aside(const Descriptor& folder, const std::string& file, const Descriptor& to,
                                       std::string as, ino_t number) {
    // rename() does nothing and reports success if both are names of the same file.
    disk.remove(to, as);
    auto error = disk.move(folder, file, to, as);
    if (!error || is_gone(error)) return {};  // gone: withdrawn
    if (is_temporary(error)) return error;
    // A folder that is not empty may have that name. Then use a name that nothing else has.
    as += fmt::format("-{}", number);
    return disk.move(folder, file, to, as);
}

/// Writes the reason to failed/ under `name`, and moves the file itself next to it.
Instead Spool::Impl::refuse_file(const Descriptor& folder, const std::string& file, const std::string& name,
                                 const Answer& why) {
    const auto shown = is_command_file_name(name) ? name : replacement_for(name);
    struct stat status;
    const auto examined = disk.examine(folder, file, status);
    if (is_gone(examined)) return std::nullopt;  // withdrawn
    if (examined) return block("a rejected file cannot be examined", examined);
    const auto reason = reserve(shown, 0);
    if (!reason) return block("there is no space for the reason of a rejection", reason.error());
    share_if(is_of_group(status, rules()), *reason);
    if (const auto error = disk.write(*reason, {to_text(why)})) {
        return block("the reason of a rejection cannot be written", error);
    }
    if (const auto error = move_answer(reserved_name(shown), folders.failed, shown)) {
        return block("the reason of a rejection cannot be moved to failed/", error);
    }
    if (const auto error = put_aside(folder, file, folders.failed, refused_name(shown), status.st_ino)) {
        if (is_temporary(error)) return block("a rejected file cannot be moved to failed/", error);
        if (&folder == &folders.fresh) fresh.ignore(file, status.st_ino);
    }
    keep(failures, shown, to_text(why).size());
    keep(failures, refused_name(shown), static_cast<std::uint64_t>(status.st_size));
    return SpoolRejection{escape_control(file), why};
}

// --- removing old files

ShelfLimits Spool::Impl::limits_of(const SpoolShelf& shelf) const {
    if (&shelf == &drafts) return {.keep = options.keep_unfinished};
    return {.keep = &shelf == &answers ? options.keep : options.keep_failed,
            .files = options.max_answers,
            .bytes = options.max_answers_size};
}

/// There is a new file. Makes space for it at once, so that the limits hold between two rounds of sweep().
void Spool::Impl::keep(SpoolShelf& shelf, const std::string& name, std::uint64_t bytes) {
    shelf.add(name, bytes, now());
    constexpr std::size_t most = 100;
    shelf.trim(limits_of(shelf), most, now());
}

bool Spool::Impl::sweep(std::size_t most) {
    const std::array<SpoolShelf*, 3> shelves{&drafts, &answers, &failures};
    SpoolShelf& shelf = *shelves[next_shelf];
    const bool seen_all = shelf.look(most, now());
    shelf.trim(limits_of(shelf), most, now());
    if (!seen_all) return false;
    next_shelf = (next_shelf + 1) % shelves.size();
    return next_shelf == 0;
}

// --- from outside

Spool::Spool(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Spool::~Spool() = default;

Result<std::unique_ptr<Spool>, std::string> Spool::open(SpoolOptions options) {
    auto folders = open_spool_folders(options.path);
    if (!folders) return Unexpected{folders.error()};
    return std::unique_ptr<Spool>{new Spool{std::make_unique<Impl>(std::move(options), std::move(*folders))}};
}

void Spool::notice(std::string_view name) { impl_->fresh.notice(name); }

void Spool::rescan() { impl_->fresh.rescan(); }

bool Spool::has_unsettled() const noexcept { return impl_->fresh.has_unsettled(); }

SpoolNext Spool::next() { return impl_->next(); }

void Spool::finish(SpoolCommand command, Answer answer) {
    answer.again = command.again;
    impl_->answer(std::move(command), answer);
    static_cast<void>(impl_->complete());  // if it is blocked, next() tries again and says why
}

bool Spool::sweep(std::size_t most) { return impl_->sweep(most); }

bool Spool::in_place() const { return impl_->folders.in_place(); }

void Spool::reconfigure(const SpoolOptions& options) {
    impl_->options.max_file = options.max_file;
    impl_->options.keep = options.keep;
    impl_->options.keep_failed = options.keep_failed;
    impl_->options.keep_unfinished = options.keep_unfinished;
    impl_->options.max_answers = options.max_answers;
    impl_->options.max_answers_size = options.max_answers_size;
}

const std::string& Spool::path() const noexcept { return impl_->folders.path; }

}  // namespace wsserver
