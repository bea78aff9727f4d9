#include "wsd/log.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <queue>
#include <system_error>
#include <utility>

#include "wsd/file_trouble.hpp"
#include "wsserver/base/descriptor.hpp"

namespace wsd {

namespace {

using wsserver::Descriptor;
using wsserver::Result;
using wsserver::Unexpected;

// Enough for thousands of connections that end at the same time.
constexpr std::size_t waiting_lines = 8192;
// Writes of up to PIPE_BUF bytes are atomic, and do not block after poll() has reported space.
constexpr std::size_t piece = 4096;
constexpr std::chrono::milliseconds patience_for_a_line{1000};
constexpr std::chrono::milliseconds patience_at_the_end{2000};

spdlog::level::level_enum to_spdlog(LogLevel level) {
    switch (level) {
        case LogLevel::debug:
            return spdlog::level::debug;
        case LogLevel::info:
            return spdlog::level::info;
        case LogLevel::warning:
            return spdlog::level::warn;
        case LogLevel::error:
            return spdlog::level::err;
    }
    return spdlog::level::info;
}

LogLevel from_spdlog(spdlog::level::level_enum level) {
    switch (level) {
        case spdlog::level::err:
            return LogLevel::error;
        case spdlog::level::warn:
            return LogLevel::warning;
        case spdlog::level::debug:
            return LogLevel::debug;
        default:
            return LogLevel::info;
    }
}

constexpr mode_t log_file_mode = 0640;

/// Why a file cannot be opened.
struct NotOpened {
    std::string text;
    bool no_space = false;  ///< the options are right, and later it may be possible
};

Unexpected<NotOpened> not_opened(const std::string& file, std::string_view why, bool no_space = false) {
    return Unexpected{NotOpened{fmt::format("the log file {} cannot be opened: {}", file, why), no_space}};
}

/// Whether only root can put files into the folder of this file.
bool is_in_folder_of_root(const std::string& file) {
    auto folder = std::filesystem::path{file}.parent_path();
    if (folder.empty()) folder = ".";
    struct stat status {};
    return ::stat(folder.c_str(), &status) == 0 && status.st_uid == 0 && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

/// Root must not write to a file that another user chose by a link in a folder of that user.
Result<Descriptor, NotOpened> open_file(const std::string& file) {
    const bool careful = ::geteuid() == 0 && !is_in_folder_of_root(file);
    // Non-blocking: a named pipe without a reader must not prevent the start.
    const int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | (careful ? O_NOFOLLOW : 0);
    Descriptor opened{::open(file.c_str(), flags, log_file_mode)};
    if (!opened && careful && errno == ELOOP) {
        return not_opened(file, "it is a link in a folder that others may write to, and wsd runs as root");
    }
    if (!opened) {
        const std::error_code error{errno, std::generic_category()};
        return not_opened(file, error.message() + how_to_permit(file, error, log_file_mode), is_full_disk(error));
    }
    struct stat status {};
    if (careful && ::fstat(opened.get(), &status) == 0 && S_ISREG(status.st_mode) && status.st_nlink > 1) {
        return not_opened(file, "it has several names, in a folder that others may write to, and wsd runs as root");
    }
    return opened;
}

constexpr std::string_view text_logger = "text";
constexpr std::string_view json_logger = "json";

/// The two formats of a line.
struct Formats {
    Formats(std::string text_pattern, std::string json_pattern)
        : text(std::move(text_pattern), spdlog::pattern_time_type::local),
          json(std::move(json_pattern), spdlog::pattern_time_type::local) {}

    spdlog::pattern_formatter text;
    spdlog::pattern_formatter json;
};

/// Writes lines to a descriptor, and waits for it only for a bounded time.
class LineSink final : public spdlog::sinks::base_sink<std::mutex> {
   public:
    LineSink(std::function<std::size_t()> overruns, bool stderr_is_journal)
        : stderr_is_journal_(stderr_is_journal), overruns_(std::move(overruns)) {}

    /// Each flush switches to the next of these descriptors; an empty one means stderr. So lines that were logged
    /// before still go to the old file.
    void use_from_a_flush_on(Descriptor file) {
        const std::lock_guard lock{mutex_};
        next_.push(std::move(file));
    }

    std::uint64_t lost() const { return lost_.load() + overruns_(); }
    /// Limits the total time that further writes may wait for the reader.
    void wait_at_most(std::chrono::milliseconds time) {
        patience_ends_ = (std::chrono::steady_clock::now() + time).time_since_epoch();
    }

   protected:
    void sink_it_(const spdlog::details::log_msg& message) override {
        if (const auto all = lost(); all > reported_) report_losses(message, all);
        put(message);
    }
    void flush_() override {
        if (next_.empty()) return;
        file_ = std::move(next_.front());
        next_.pop();
        stuck_ = false;
        torn_ = false;
    }

   private:
    int descriptor() const { return file_ ? file_.get() : STDERR_FILENO; }
    bool to_journal() const { return stderr_is_journal_ && !file_; }

    bool put(const spdlog::details::log_msg& message) {
        if (write_formatted(message)) return true;
        ++lost_;
        return false;
    }

    bool write_formatted(const spdlog::details::log_msg& message) {
        spdlog::memory_buf_t line;
        if (to_journal()) line.append(journal_prefix(from_spdlog(message.level)));
        Formats& formats = to_journal() ? for_journal_ : with_time_;
        (message.logger_name == spdlog::string_view_t{json_logger} ? formats.json : formats.text).format(message, line);
        return write_line({line.data(), line.size()});
    }

    /// Reports lost lines, in the format and with the time of the next line that can be written.
    void report_losses(const spdlog::details::log_msg& next, std::uint64_t all) {
        const std::array fields{LogField{"lines", all - reported_}};
        const bool json = next.logger_name == spdlog::string_view_t{json_logger};
        const auto text = json ? json_members("log lines were lost", fields) : text_line("log lines were lost", fields);
        spdlog::details::log_msg message{next.time, {}, next.logger_name, spdlog::level::warn, text};
        if (write_formatted(message)) reported_ = all;
    }

    bool write_line(std::string_view line) {
        if (torn_ && !write_piece("\n")) return false;
        torn_ = false;
        for (bool first = true; !line.empty(); first = false) {
            const auto taken = write_piece(line.substr(0, piece));
            torn_ = !first || taken > 0;
            if (taken == 0) return false;
            line.remove_prefix(taken);
        }
        torn_ = false;
        return true;
    }

    /// Returns how many bytes were written; 0 on an error or if it would have taken too long.
    std::size_t write_piece(std::string_view text) {
        pollfd poll_descriptor{descriptor(), POLLOUT, 0};
        int ready = 0;
        do ready = ::poll(&poll_descriptor, 1, patience());
        while (ready < 0 && errno == EINTR);
        stuck_ = ready == 0;
        if (ready <= 0) return 0;
        ssize_t written = 0;
        do written = ::write(descriptor(), text.data(), text.size());
        while (written < 0 && errno == EINTR);
        return written > 0 ? static_cast<std::size_t>(written) : 0;
    }

    int patience() const {
        using std::chrono::milliseconds;
        if (stuck_) return 0;
        const auto left = patience_ends_.load() - std::chrono::steady_clock::now().time_since_epoch();
        const auto whole = std::chrono::duration_cast<milliseconds>(left);
        return static_cast<int>(std::clamp(whole, milliseconds{0}, patience_for_a_line).count());
    }

    const bool stderr_is_journal_;
    Descriptor file_;
    std::queue<Descriptor> next_;
    Formats with_time_{"%Y-%m-%dT%H:%M:%S.%e%z %-7l %v", R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l",%v})"};
    Formats for_journal_{"%v", R"({"level":"%l",%v})"};
    std::function<std::size_t()> overruns_;
    std::atomic<std::uint64_t> lost_{0};
    std::atomic<std::chrono::steady_clock::duration> patience_ends_{std::chrono::steady_clock::duration::max()};
    std::uint64_t reported_ = 0;
    bool stuck_ = false;
    bool torn_ = false;  // the last line was cut
};

}  // namespace

bool stderr_is_journal(const std::string& journal_stream) {
    struct stat status {};
    if (journal_stream.empty() || ::fstat(STDERR_FILENO, &status) != 0) return false;
    return journal_stream == fmt::format("{}:{}", status.st_dev, status.st_ino);
}

std::string_view journal_prefix(LogLevel level) noexcept {
    switch (level) {
        case LogLevel::debug:
            return "<7>";
        case LogLevel::info:
            return "<6>";
        case LogLevel::warning:
            return "<4>";
        case LogLevel::error:
            return "<3>";
    }
    return "<6>";
}

struct Log::Impl {
    explicit Impl(bool journal)
        : sink(std::make_shared<LineSink>([p = pool.get()] { return p->overrun_counter(); }, journal)) {}

    std::shared_ptr<spdlog::details::thread_pool> pool =
        std::make_shared<spdlog::details::thread_pool>(waiting_lines, std::size_t{1});
    std::shared_ptr<LineSink> sink;
    // One for each format, so that a line that is queued while the format changes keeps its own.
    std::shared_ptr<spdlog::async_logger> text = logger(text_logger, spdlog::async_overflow_policy::overrun_oldest);
    std::shared_ptr<spdlog::async_logger> json = logger(json_logger, spdlog::async_overflow_policy::overrun_oldest);
    // For flushes, none of which may be dropped. The queue is never stuck for longer than the patience.
    std::shared_ptr<spdlog::async_logger> turn = logger("turn", spdlog::async_overflow_policy::block);
    std::atomic<LogLevel> level{LogLevel::info};
    std::atomic<LogFormat> format{LogFormat::text};
    std::mutex file_mutex;
    std::string file;

    std::shared_ptr<spdlog::async_logger> logger(std::string_view name, spdlog::async_overflow_policy policy) const {
        auto made = std::make_shared<spdlog::async_logger>(std::string{name}, sink, pool, policy);
        made->set_level(spdlog::level::trace);               // Log::write() checks the level before
        made->set_error_handler([](const std::string&) {});  // the only error is that the pool has been closed
        return made;
    }

    void use(Descriptor descriptor) {
        sink->use_from_a_flush_on(std::move(descriptor));
        turn->flush();
    }
    /// Whether the options cannot be used. A file that they named before is not their fault.
    bool refuses(const LogOptions& options, const NotOpened& failed) const {
        return !failed.no_space && options.file != file;
    }
    Result<void, NotOpened> take(const LogOptions& options);
};

Result<void, NotOpened> Log::Impl::take(const LogOptions& options) {
    const std::lock_guard lock{file_mutex};
    auto opened = options.file.empty() ? Result<Descriptor, NotOpened>{Descriptor{}} : open_file(options.file);
    const auto failed = opened ? std::optional<NotOpened>{} : opened.error();
    if (failed && refuses(options, *failed)) return Unexpected{*failed};
    if (!failed) use(*std::move(opened));
    file = options.file;
    format = options.format;
    level = options.level;
    if (failed) return Unexpected{*failed};
    return {};
}

Result<std::unique_ptr<Log>, std::string> Log::open(const LogOptions& options, bool journal) {
    std::unique_ptr<Log> log{new Log{std::make_unique<Impl>(journal)}};
    const auto done = log->impl_->take(options);
    if (!done && !done.error().no_space) return Unexpected{done.error().text};
    if (!done) log->warning(done.error().text + "; the log is on stderr until SIGUSR1 or a reload can create the file");
    return log;
}

Log::Log(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}

Log::~Log() { close(); }

void Log::close() noexcept {
    impl_->sink->wait_at_most(patience_at_the_end);
    impl_->pool.reset();  // writes what is queued, then ends its thread
}

void Log::write(LogLevel level, std::string_view message, std::span<const LogField> fields) {
    if (!is_on(level)) return;
    if (impl_->format == LogFormat::json) {
        impl_->json->log(to_spdlog(level), spdlog::string_view_t{json_members(message, fields)});
    } else {
        impl_->text->log(to_spdlog(level), spdlog::string_view_t{text_line(message, fields)});
    }
}

LogLevel Log::level() const noexcept { return impl_->level; }

void Log::set_level(LogLevel level) noexcept { impl_->level = level; }

Result<void, std::string> Log::check(const LogOptions& options) const {
    if (options.file.empty()) return {};
    const std::lock_guard lock{impl_->file_mutex};
    const auto opened = open_file(options.file);
    if (!opened && impl_->refuses(options, opened.error())) return Unexpected{opened.error().text};
    return {};
}

Result<void, std::string> Log::reopen() {
    const std::lock_guard lock{impl_->file_mutex};
    if (impl_->file.empty()) return {};
    auto file = open_file(impl_->file);
    if (!file) return Unexpected{file.error().text};
    impl_->use(*std::move(file));
    return {};
}

Result<void, std::string> Log::reconfigure(const LogOptions& options) {
    if (const auto done = impl_->take(options); !done) return Unexpected{done.error().text};
    return {};
}

std::uint64_t Log::lost() const noexcept { return impl_->sink->lost(); }

}  // namespace wsd
