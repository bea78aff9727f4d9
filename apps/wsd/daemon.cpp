#include "wsd/daemon.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "common/setting_values.hpp"
#include "common/settings.hpp"
#include "common/units.hpp"
#include "wsd/become_user.hpp"
#include "wsd/last_resort.hpp"
#include "wsd/pages.hpp"
#include "wsserver/base/shell_words.hpp"
#include "wsserver/scheduling/foreign_calls.hpp"

namespace wsd {

namespace {

using wsserver::Outcome;
using wsserver::Result;
using wsserver::Unexpected;

wsserver::HandlerLog handler_log(std::shared_ptr<Log> log) {
    return [log = std::move(log)](LogLevel level, std::string_view name, std::string_view text) {
        log->write(level, text, {{"handler", name}});
    };
}

wsserver::SpoolOptions spool_options(const Config& config) {
    wsserver::SpoolOptions options;
    options.path = config.spool.dir;
    options.group_may = config.spool.group_may;
    options.keep = config.spool.keep;
    options.keep_failed = config.spool.keep_failed;
    options.max_answers = config.spool.max_answers;
    options.max_answers_size = config.spool.max_answers_size;
    options.max_file = config.spool.max_file;
    return options;
}

/// How long a change of the handlers waits for another one.
constexpr std::chrono::seconds change_patience{2};

/// The time after the grace in which the process ends in any case. Everything that waits has a shorter limit.
constexpr std::chrono::seconds end_patience{10};

/// The same after the second request to stop.
constexpr std::chrono::milliseconds last_patience{900};

constexpr std::string_view stopping_instead = "wsd is stopping: the configuration is not reloaded";

constexpr std::string_view another_change = "another change of the handlers has not ended: try again";

std::string name_of(const std::string& subprotocol) {
    return subprotocol.empty() ? "the default handler" : "subprotocol " + subprotocol;
}

/// How to find the program that listens on the address, if there is one.
std::string_view who_listens(std::string_view endpoint, std::string_view error) {
    if (error.find("another program listens") == std::string_view::npos) return {};
    return endpoint.starts_with("unix:") ? " (`ss -lxp` shows which)" : " (`ss -ltnp` shows which)";
}

}  // namespace

Daemon::Daemon(Config config, std::shared_ptr<Log> log, PidFile* pid_file, Notifier notifier, Reread reread,
               std::string demo_command)
    : ServerControl(server_, {.program = "wsd", .version = WSD_VERSION}),
      log_(std::move(log)),
      connection_log_(std::make_shared<ConnectionLog>(log_)),
      pid_file_(pid_file),
      notifier_(std::move(notifier)),
      reread_(std::move(reread)),
      demo_command_(std::move(demo_command)),
      started_with_(config),
      config_(with_needs_of_scripts(std::move(config))),
      grace_(config_.grace),
      server_(config_.server),
      handlers_(server_, handler_log(log_), this_program, give_up_.get_token()) {}

Daemon::~Daemon() = default;

// --- start and stop

Result<std::vector<std::string>, StartErrors> Daemon::start() {
    auto urls = start_or_fail();
    if (urls && !is_stopping()) notifier_.ready(ready_text());
    const std::lock_guard lock{stop_mutex_};
    started_ = true;
    return urls;
}

Result<std::vector<std::string>, StartErrors> Daemon::start_or_fail() {
    wire_log();
    auto page = config_.demo ? chat_page_with(demo_command_) : std::string{};
    server_.on_http([this, page = std::move(page)](const wsserver::HttpRequest& request) {
        return answer_http(request, page, !server_.stalled_reactors().empty());
    });
    server_.answer_while_stalled(health_path, health(true));
    // Ports below 1024 need root, and nothing else does.
    const bool gives_up_root = !config_.user.empty();
    if (gives_up_root) {
        if (auto done = listen(); !done) return Unexpected{done.error()};
        if (auto done = give_up_root(); !done) return Unexpected{done.error()};
    }
    if (auto done = create_observer(); !done) return Unexpected{done.error()};
    if (auto done = load_handlers(); !done) return Unexpected{done.error()};
    if (!gives_up_root) {
        if (auto done = listen(); !done) return Unexpected{done.error()};
    }
    if (::geteuid() == 0) {
        log_->warning("wsd runs as root, and so do its handlers: name another user with user = \"wsd\" or --user wsd");
    }
    server_.start();
    if (observer_) observer_->start();
    const auto urls = server_.listening();
    log_->info("started", {{"version", std::string_view{WSD_VERSION}},
                           {"pid", static_cast<std::uint64_t>(::getpid())},
                           {"listening", fmt::format("{}", fmt::join(urls, " "))},
                           {"config", std::string_view{config_.file}},
                           {"spool", std::string_view{config_.spool.dir}}});
    return urls;
}

void Daemon::wire_log() {
    server_.on_accept([log = connection_log_](const wsserver::ConnectionStart& start) { log->opened(start); });
    server_.on_end([log = connection_log_](const wsserver::ConnectionEnd& end) { log->ended(end); });
    server_.on_event([log = connection_log_](const wsserver::ConnectionEvent& event) { log->happened(event); });
    server_.on_log([log = log_](LogLevel level, std::string_view text) { log->write(level, text); });
}

Result<void, StartErrors> Daemon::create_observer() {
    if (config_.spool.dir.empty() && !config_.control_stdin) return {};
    wsserver::ObserverOptions options;
    options.spool = spool_options(config_);
    if (config_.control_stdin) {
        options.control_in = STDIN_FILENO;
        options.control_out = STDOUT_FILENO;
    }
    options.log = [this](LogLevel level, std::string_view text) { log_->write(level, text); };
    options.give_up = give_up_;
    auto observer = wsserver::Observer::create(*this, std::move(options));
    if (!observer) return Unexpected{StartErrors{observer.error()}};
    const std::lock_guard lock{stop_mutex_};
    observer_ = *std::move(observer);
    return {};
}

Result<void, StartErrors> Daemon::load_handlers() {
    const std::lock_guard lock{changing_};  // the files of handlers may be watched already
    const auto done = handlers_.apply(config_);
    if (!done) return Unexpected{done.error()};
    for (const auto& line : *done) log_->debug(line);
    return {};
}

Result<void, StartErrors> Daemon::listen() {
    StartErrors errors;
    const auto listen_at = [&](const std::vector<std::string>& endpoints, const wsserver::ListenOptions& options) {
        for (const auto& endpoint : endpoints) {
            const auto url = server_.listen(endpoint, options);
            if (!url) errors.push_back(fmt::format("{}{}", url.error(), who_listens(endpoint, url.error())));
        }
    };
    listen_at(config_.listen, {});
    listen_at(config_.listen_proxy_protocol, {.proxy_protocol = true});
    if (!errors.empty()) return Unexpected{errors};
    return {};
}

Result<void, StartErrors> Daemon::give_up_root() {
    std::vector<std::string> files{config_.log.file, config_.pid_file};
    for (const auto* endpoints : {&config_.listen, &config_.listen_proxy_protocol}) {
        for (const std::string_view endpoint : *endpoints) {
            if (endpoint.starts_with("unix:")) files.emplace_back(endpoint.substr(5));
        }
    }
    std::erase(files, "");
    if (const auto done = become_user(config_.user, files); !done) return Unexpected{StartErrors{done.error()}};
    return {};
}

bool Daemon::wait() {
    server_.run();
    const bool ended = !observer_ || observer_->stop(rest_of_grace());
    give_up_.request_stop();  // a reload waits for no handler any more
    if (!ended) log_->warning("a command does not return: wsd ends without it");
    connection_log_->flush();
    log_->info("stopped", {{"uptime", std::chrono::duration<double>(uptime()).count()}});
    return ended;
}

void Daemon::stop_on(std::string_view why) {
    const bool again = stops_.fetch_add(1) > 0;
    if (again) end_within(last_patience);  // first, in case anything below hangs
    const std::lock_guard lock{stop_mutex_};
    const auto grace = again ? std::chrono::milliseconds{0} : grace_;
    if (!again) end_within(grace + end_patience);
    stop_by_ = std::chrono::steady_clock::now() + grace;
    if (again || !started_) give_up_.request_stop();
    if (again && observer_) observer_->give_up();
    log_->info(again ? "stopping at once" : "stopping", {{"why", why}, {"grace", print_time(grace)}});
    log_calls_that_hang();
    notifier_.stopping();
    stop_within(grace);
}

void Daemon::log_calls_that_hang() {
    for (const auto& call : wsserver::ForeignCalls::of_process().states()) {
        log_->warning("a handler has not returned",
                      {{"call", std::string_view{call.name}}, {"for", print_time(call.since)}});
    }
}

std::chrono::milliseconds Daemon::rest_of_grace() const {
    const std::lock_guard lock{stop_mutex_};
    const auto rest = stop_by_ - std::chrono::steady_clock::now();
    return std::max(std::chrono::ceil<std::chrono::milliseconds>(rest), std::chrono::milliseconds{0});
}

bool Daemon::is_stopping() const { return stops_ > 0; }

void Daemon::reopen_log() {
    if (const auto done = log_->reopen(); !done) {
        log_->error(done.error());
    } else {
        log_->info("log reopened");
    }
}

std::string Daemon::ready_text() const { return fmt::format("listening on {}", fmt::join(server_.listening(), ", ")); }

// --- commands

wsserver::StatusReport Daemon::status() {
    auto report = ServerControl::status();
    report.counters.emplace_back("log_lines_lost", log_->lost());
    return report;
}

std::string Daemon::source_of(const std::string& subprotocol) { return handlers_.source_of(subprotocol); }

Outcome Daemon::load_handler(const std::string& subprotocol, const std::string& what) {
    Pairs scratch;  // the rules are those of the configuration
    const auto good = subprotocol.empty() ? check_handler(what) : take_handler(scratch, subprotocol, what);
    if (!good) return Unexpected{good.error()};
    const std::unique_lock lock{changing_, change_patience};
    if (!lock) return Unexpected{std::string{another_change}};
    const auto name = handlers_.load(subprotocol, what, config_);
    if (!name) return Unexpected{name.error()};
    const auto source = handlers_.source_of(subprotocol);
    log_->info("handler loaded", {{"subprotocol", std::string_view{subprotocol}},
                                  {"handler", std::string_view{*name}},
                                  {"source", std::string_view{source}}});
    return fmt::format("{}: {} serves new connections ({})\n", name_of(subprotocol), *name, source);
}

Outcome Daemon::unload_handler(const std::string& subprotocol, bool to_default) {
    const std::unique_lock lock{changing_, change_patience};
    if (!lock) return Unexpected{std::string{another_change}};
    if (to_default) {
        const auto given = handlers_.unload_to_default(subprotocol);
        if (!given) return Unexpected{fmt::format("{}: {}", name_of(subprotocol), given.error())};
    } else if (!handlers_.unload(subprotocol)) {
        return Unexpected{"nothing serves " + name_of(subprotocol)};
    }
    log_->info("handler unloaded", {{"subprotocol", std::string_view{subprotocol}}});
    return fmt::format(
        "{}: no longer served, {}\n", name_of(subprotocol),
        to_default ? "the default handler serves its connections" : "its connections are closed with 1012");
}

Outcome Daemon::reload_handler(const std::string& subprotocol) {
    const std::unique_lock lock{changing_, change_patience};
    if (!lock) return Unexpected{std::string{another_change}};
    return reload_code({subprotocol});
}

Outcome Daemon::reload_handlers() {
    const std::unique_lock lock{changing_, change_patience};
    if (!lock) return Unexpected{std::string{another_change}};
    return reload_code(handlers_.replaceable());
}

Outcome Daemon::reload_code(const std::vector<std::string>& subprotocols) {
    std::string done, failed;
    for (const auto& subprotocol : subprotocols) {
        const auto name = handlers_.reload(subprotocol, config_);
        if (!name) {
            log_->warning("handler not reloaded",
                          {{"subprotocol", std::string_view{subprotocol}}, {"error", std::string_view{name.error()}}});
            failed += fmt::format("{}: {}\n", name_of(subprotocol), name.error());
            continue;
        }
        log_->info("handler reloaded",
                   {{"subprotocol", std::string_view{subprotocol}}, {"handler", std::string_view{*name}}});
        done += fmt::format("{}: {} serves with its new code\n", name_of(subprotocol), *name);
    }
    if (!failed.empty()) return Unexpected{done + failed};
    return done.empty() ? std::string{"no handler is a shared object\n"} : done;
}

void Daemon::watch_handlers() {
    const std::unique_lock lock{changing_, std::try_to_lock};
    if (!lock || is_stopping()) return;
    const auto changed = handlers_.changed();
    if (!changed.empty()) (void)reload_code(changed);  // the result is in the log
}

Outcome Daemon::set_log_level(const std::string& level) {
    Config scratch;
    const std::vector<std::string> values{level};
    if (auto good = find_setting("log.level")->set(scratch, values); !good) return Unexpected{good.error()};
    log_->set_level(scratch.log.level);
    return fmt::format("log level: {}\n", level);
}

Outcome Daemon::reload() {
    const std::unique_lock lock{changing_, change_patience};
    if (!lock) {
        const std::string why = "another change of the handlers has not ended: the configuration is not reloaded";
        log_->warning(why);
        return Unexpected{why};
    }
    if (is_stopping()) {  // the supervisor must not be told that wsd is ready
        log_->warning(stopping_instead);
        return Unexpected{std::string{stopping_instead}};
    }
    notifier_.reloading();
    complete_pid_file();
    auto wanted = reread_();
    auto outcome = wanted ? apply(with_needs_of_scripts(*std::move(wanted))) : refuse(wanted.error());
    if (!is_stopping()) notifier_.ready(ready_text());
    return outcome;
}

void Daemon::complete_pid_file() {
    if (pid_file_ == nullptr || pid_file_->missing().empty()) return;
    if (pid_file_->complete()) log_->info("the pid file is written");
}

std::vector<std::string> Daemon::open_log_of(const Config& wanted) {
    const auto done = log_->reconfigure(wanted.log);
    if (done) return {};
    return {done.error() + "; lines go where they went before"};
}

Outcome Daemon::apply(Config wanted) {
    if (const auto good = log_->check(wanted.log); !good) return refuse({good.error()});
    const auto changes = handlers_.apply(wanted);
    if (!changes) return refuse(changes.error());
    auto warnings = open_log_of(wanted);
    if (pid_file_ != nullptr && !pid_file_->missing().empty()) warnings.push_back(pid_file_->missing());
    warnings.insert(warnings.end(), wanted.warnings.begin(), wanted.warnings.end());
    server_.reconfigure(wanted.server);
    if (observer_) observer_->reconfigure(spool_options(wanted));
    config_ = std::move(wanted);
    {
        const std::lock_guard lock{stop_mutex_};
        grace_ = config_.grace;
    }
    return report_reload(*changes, warnings);
}

std::string Daemon::report_reload(const std::vector<std::string>& changes, const std::vector<std::string>& warnings) {
    std::string text = "configuration reloaded\n";
    log_->info("configuration reloaded", {{"file", std::string_view{config_.file}}});
    for (const auto& line : changes) {
        log_->info(line);
        text += line + "\n";
    }
    for (const auto& line : warnings) {
        log_->warning(line);
        text += "warning: " + wsserver::escape_control(line) + "\n";
    }
    const auto waiting = differences_needing_restart(started_with_, config_);
    if (!waiting.empty()) {
        const auto keys = fmt::format("{}", fmt::join(waiting, ", "));
        log_->warning("changes that need a restart", {{"settings", std::string_view{keys}}});
        text += "needs a restart: " + keys + "\n";
    }
    return text;
}

Outcome Daemon::refuse(const ConfigErrors& errors) {
    if (give_up_.stop_requested()) {  // nothing is wrong with it: its handlers were not awaited
        log_->warning(stopping_instead);
        return Unexpected{std::string{stopping_instead}};
    }
    for (const auto& error : errors) log_->error(error);
    log_->error("the new configuration is invalid; the old one stays");
    return Unexpected{fmt::format("the new configuration is invalid; the old one stays: {}", fmt::join(errors, "; "))};
}

Outcome Daemon::drain() {
    static_cast<void>(ServerControl::drain());
    log_->info("draining: no new connections are accepted");
    return std::string{"draining: no new connections are accepted, open ones stay\n"};
}

Outcome Daemon::undrain() {
    auto outcome = ServerControl::undrain();
    if (!outcome) {
        log_->warning("still draining", {{"cause", std::string_view{outcome.error()}}});
        return outcome;
    }
    log_->info(*outcome);
    return outcome;
}

Outcome Daemon::stop() {
    stop_on("stop");
    return std::string{"stopping\n"};
}

}  // namespace wsd
