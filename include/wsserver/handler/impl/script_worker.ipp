#pragma once

#include "wsserver/handler/detail/script_worker.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <exception>
#include <limits>
#include <new>
#include <system_error>

#include "wsserver/base/shell_words.hpp"
#include "wsserver/scheduling/awaited.hpp"

namespace wsserver {

// --- Gates ---

void ScriptGate::when_open(Opened opened) {
    std::optional<SavedState> state;
    {
        const std::lock_guard lock{mutex_};
        if (!is_open_) {
            opened_ = std::move(opened);
            return;
        }
        state = std::move(state_);
    }
    opened(std::move(state));
}

void ScriptGate::save(SavedState state) {
    const std::lock_guard lock{mutex_};
    state_ = std::move(state);
}

void ScriptGate::open() {
    Opened opened;
    std::optional<SavedState> state;
    {
        const std::lock_guard lock{mutex_};
        if (std::exchange(is_open_, true) || !opened_) return;
        opened.swap(opened_);
        state = std::move(state_);
    }
    opened(std::move(state));
}

// --- Any thread ---

ScriptWorker::ScriptWorker(std::shared_ptr<const ScriptOptions> options, std::string name, HandlerLog log)
    : options_(std::move(options)),
      name_(std::move(name)),
      log_(std::move(log)),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      backoff_(options_->first_restart) {
    if (!wake_) throw std::system_error{errno, std::system_category(), "eventfd"};
}

ScriptWorker::~ScriptWorker() { stop(); }

Result<std::set<std::string>, std::string> ScriptWorker::start() {
    thread_ = std::thread{[this] { run(); }};
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [this] { return first_start_.has_value(); });
    return *first_start_;
}

void ScriptWorker::stop() {
    if (!thread_.joinable()) return;
    {
        const std::lock_guard lock{mutex_};
        stopping_ = true;
    }
    changed_.notify_all();
    wake();
    thread_.join();
}

void ScriptWorker::wake() const noexcept {
    const std::uint64_t one = 1;
    static_cast<void>(!::write(wake_.get(), &one, sizeof one));  // fails only if it is awake already
}

ScriptWorker::Event ScriptWorker::event_of(ConnectionId id, std::vector<std::string> words,
                                           std::string_view payload) const {
    words.insert(words.begin() + 1, to_string(id));
    Event event{.id = id};
    append_script_frame(event.bytes, words, payload);
    return event;
}

/// Precondition: mutex_ is locked.
void ScriptWorker::push(Event event) {
    queued_ += event.bytes.size();
    const auto served = event.id == ConnectionId{} ? served_.end() : served_.find(event.id);
    const bool waits = served != served_.end() && served->second.is_held;
    (waits ? served->second.held : queue_).push_back(std::move(event));
}

void ScriptWorker::add(ConnectionId id, const std::shared_ptr<Hub>& hub, std::string environment,
                       const std::shared_ptr<ScriptGate>& gate) {
    {
        const std::lock_guard lock{mutex_};
        hub_ = hub;
        Served& served = served_[id];
        served.hub = hub;
        served.environment = std::move(environment);
        served.is_held = served.is_again = gate != nullptr;
        if (served.is_held) ++held_;
        if (!gate) push({.id = id, .opens = true});
    }
    if (!gate) return wake();
    gate->when_open([weak = weak_from_this(), id](std::optional<SavedState> state) {
        if (const auto self = weak.lock()) self->release(id, std::move(state));
    });
}

/// The gate of a connection is open.
void ScriptWorker::release(ConnectionId id, std::optional<SavedState> state) {
    {
        const std::lock_guard lock{mutex_};
        const auto found = served_.find(id);
        if (found == served_.end()) return;
        Served& served = found->second;
        served.is_held = false;
        --held_;
        served.state = std::move(state);
        push({.id = id, .opens = true});
        for (Event& event : served.held) queue_.push_back(std::move(event));
        served.held.clear();
    }
    wake();
}

ScriptWorker::Put ScriptWorker::put(ConnectionId id, std::vector<std::string> words, std::string_view payload) {
    Put result = Put::queued;
    {
        const std::lock_guard lock{mutex_};
        const auto found = served_.find(id);
        if (found == served_.end()) return Put::queued;  // a timer after the end
        if (payload.size() > options_->hard_limit - std::min(queued_, options_->hard_limit)) return Put::full;
        push(event_of(id, std::move(words), payload));
        if (queued_ > options_->high_mark) {
            if (!std::exchange(found->second.is_paused, true)) ++paused_;
            result = Put::pause;
        }
    }
    wake();
    return result;
}

void ScriptWorker::remove(ConnectionId id, std::vector<std::string> words, std::string_view payload) {
    {
        const std::lock_guard lock{mutex_};
        const auto found = served_.find(id);
        if (found == served_.end()) return;
        if (std::exchange(found->second.is_paused, false)) --paused_;
        Event event = event_of(id, std::move(words), payload);
        event.is_last = true;
        push(std::move(event));
    }
    wake();
}

std::shared_ptr<ScriptGate> ScriptWorker::hand_over(ConnectionId id) {
    auto gate = std::make_shared<ScriptGate>();
    std::shared_ptr<Hub> resumed;
    {
        const std::lock_guard lock{mutex_};
        const auto found = served_.find(id);
        if (found == served_.end() || stopping_) {
            gate->open();
            return gate;
        }
        if (std::exchange(found->second.is_paused, false)) {
            --paused_;
            resumed = found->second.hub.lock();
        }
        saving_[id] = gate;
        push(event_of(id, {"leave"}, {}));
        const std::uint64_t number = ++last_number_;
        gates_[number] = {gate, id};
        Event event{.id = id, .is_last = true, .ticket = number};
        append_script_frame(event.bytes, {"ping", std::to_string(number)});
        push(std::move(event));
    }
    wake();
    if (resumed) (void)resumed->resume_receiving(id);
    return gate;
}

Result<ScriptFrame, std::string> ScriptWorker::ask(std::string word, std::vector<std::string> words,
                                                   std::string_view payload, std::chrono::milliseconds most) {
    const Awaited<Result<ScriptFrame, std::string>> awaited;
    std::uint64_t number = 0;
    {
        const std::lock_guard lock{mutex_};
        if (stopping_) return Unexpected{name_ + " has ended"};
        number = ++last_number_;
        tickets_[number].answer = awaited.deliver();
        words.insert(words.begin(), {std::move(word), std::to_string(number)});
        Event event{.ticket = number};
        append_script_frame(event.bytes, words, payload);
        push(std::move(event));
    }
    wake();
    if (auto answer = awaited.wait({}, most)) return *std::move(answer);
    const std::lock_guard lock{mutex_};
    tickets_.erase(number);
    return Unexpected{name_ + " has not answered within " + std::to_string(most.count()) + " ms"};
}

void ScriptWorker::note(LogLevel level, std::string_view text) const { log_(level, name_, escape_control(text)); }

// --- The thread ---

void ScriptWorker::run() {
    sigset_t all;  // a pipe whose process has ended must not end this one
    sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
    while (!stopping_) {
        fault_.clear();
        try {
            if (auto started = ScriptProcess::start(options_->command, options_->environment)) {
                process_.emplace(*std::move(started));
                serve_process();
            } else {
                fault_ = started.error();
            }
        } catch (const std::bad_alloc&) {
            fault_ = "out of memory";
        } catch (const std::exception& error) {
            fault_ = error.what();
        }
        forget_process();
        if (!wait_before_restart()) break;
    }
    fail_everything();
}

void ScriptWorker::serve_process() {
    reader_ = ScriptFrameReader{options_->frames};
    started_ = written_at_ = Clock::now();
    while (poll_once()) {
    }
}

/// Returns false when the process has ended, or must end.
bool ScriptWorker::poll_once() {
    bool has_events = false;
    {
        const std::lock_guard lock{mutex_};
        // What is held comes from an older process, and an even newer one may wait for it.
        if (stopping_ && ready_ && queue_.empty() && held_ == 0 && !std::exchange(said_stop_, true)) {
            Event event;
            append_script_frame(event.bytes, {"stop"});
            push(std::move(event));
        }
        has_events = ready_ && !queue_.empty();
        if (said_stop_ && queue_.empty()) process_->close_input();
    }
    const auto now = Clock::now();
    if (has_events && !std::exchange(had_events_, has_events)) written_at_ = now;  // from now on they wait
    had_events_ = has_events;
    if (const auto wrong = overdue(now, has_events)) return fault_ = *wrong, false;
    enum { wake_up, end, output, errors, input };
    std::array<pollfd, 5> ready{pollfd{wake_.get(), POLLIN, 0}, pollfd{process_->end(), POLLIN, 0},
                                pollfd{process_->output(), POLLIN, 0}, pollfd{process_->errors(), POLLIN, 0},
                                pollfd{has_events ? process_->input() : -1, POLLOUT, 0}};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(next_look(now, has_events) - now).count();
    const int timeout = static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000));
    if (::poll(ready.data(), ready.size(), timeout) < 0 && errno != EINTR) {
        return fault_ = "poll: " + std::system_category().message(errno), false;
    }
    if (ready[wake_up].revents != 0) {
        std::uint64_t count = 0;
        static_cast<void>(!::read(wake_.get(), &count, sizeof count));
    }
    if (ready[errors].revents != 0) read_errors();
    if (ready[output].revents != 0 && !read_output()) return false;
    if (ready[end].revents != 0) return take_end();
    if (ready[input].revents != 0) write_events();
    return true;
}

/// Reads what the process has left, and why it ended.
bool ScriptWorker::take_end() {
    while (process_->output() >= 0 && read_output() && !is_drained_) {
    }
    while (process_->errors() >= 0 && read_errors()) {
    }
    if (fault_.empty()) fault_ = process_->take_end().value_or("it has ended");
    if (reader_.is_within_frame()) fault_ += ", within a frame";
    return false;
}

/// When overdue() may change, or a ping is due.
ScriptWorker::Clock::time_point ScriptWorker::next_look(Clock::time_point now, bool has_events) const {
    auto next = now + std::chrono::minutes{1};
    const auto look_at = [&next](Clock::time_point when) { next = std::min(next, when); };
    if (!ready_) look_at(started_ + options_->start_timeout);
    if (has_events) look_at(written_at_ + options_->deadline);
    if (ping_ != 0) look_at(pinged_at_ + options_->deadline);
    if (ping_ == 0 && wrote_since_ping_) look_at(pinged_at_ + ping_interval);
    if (process_->output() < 0) look_at(output_closed_at_ + end_after_output);
    if (stopping_) look_at(now + std::chrono::milliseconds{50});
    return next;
}

/// Why the process must end.
std::optional<std::string> ScriptWorker::overdue(Clock::time_point now, bool has_events) {
    const auto after = [](std::chrono::milliseconds time) { return " within " + std::to_string(time.count()) + " ms"; };
    if (said_stop_) {
        if (stop_by_ == Clock::time_point{}) stop_by_ = now + options_->end_timeout;
        if (now > stop_by_ && !std::exchange(told_to_end_, true)) process_->signal(SIGTERM);
        if (now > stop_by_ + std::chrono::seconds{1}) return "it has not ended" + after(options_->end_timeout);
        return std::nullopt;
    }
    if (process_->output() < 0 && now > output_closed_at_ + end_after_output)
        return "it has closed its standard output";
    if (!ready_ && now > started_ + options_->start_timeout) return "it was not ready" + after(options_->start_timeout);
    if (has_events && now > written_at_ + options_->deadline) return "it has read nothing" + after(options_->deadline);
    if (ping_ != 0 && now > pinged_at_ + options_->deadline) {
        return "it has not answered a ping" + after(options_->deadline);
    }
    if (ping_ == 0 && wrote_since_ping_ && now >= pinged_at_ + ping_interval) {
        const std::lock_guard lock{mutex_};
        ping_ = ++last_number_;
        pinged_at_ = now;
        wrote_since_ping_ = false;
        Event event;
        append_script_frame(event.bytes, {"ping", std::to_string(ping_)});
        push(std::move(event));
    }
    return std::nullopt;
}

/// Makes the first event of a connection. It may be one that another process has known.
void ScriptWorker::prepare(Event& event) {
    if (!event.opens || !event.bytes.empty()) return;
    const auto found = served_.find(event.id);
    if (found == served_.end()) return;
    const Served& served = found->second;
    std::vector<std::string> words{"open", to_string(event.id)};
    if (served.is_again) words.emplace_back("again");
    if (served.state) words.emplace_back("state");  // it follows
    append_script_frame(event.bytes, words, served.environment);
    if (served.state) {
        append_script_frame(event.bytes, {"restore", to_string(event.id), std::to_string(served.state->version)},
                            served.state->bytes);
    }
    queued_ += event.bytes.size();
}

void ScriptWorker::write_events() {
    constexpr std::size_t most = 16;
    std::array<iovec, most> parts;
    std::size_t count = 0;
    {
        const std::lock_guard lock{mutex_};
        while (!queue_.empty() && queue_.front().opens) {
            prepare(queue_.front());
            if (!queue_.front().bytes.empty()) break;
            queue_.pop_front();  // the connection is gone
        }
        for (auto event = queue_.begin(); event != queue_.end() && count < most; ++event) {
            prepare(*event);
            const std::size_t sent = count == 0 ? front_sent_ : 0;
            parts[count++] = {event->bytes.data() + sent, event->bytes.size() - sent};
        }
    }
    if (count == 0) return;
    // Other threads append to the queue meanwhile, which moves no event.
    const ssize_t sent = ::writev(process_->input(), parts.data(), static_cast<int>(count));
    if (sent <= 0) return;  // it is full, or its end follows
    written_at_ = Clock::now();
    written(static_cast<std::size_t>(sent));
    resume_paused();
}

void ScriptWorker::written(std::size_t bytes) {
    const std::lock_guard lock{mutex_};
    front_sent_ += bytes;
    while (!queue_.empty()) {
        const Event& event = queue_.front();
        if (event.bytes.empty()) {         // the first event of a connection
            if (front_sent_ == 0) return;  // it was put meanwhile, and is not made yet
            queue_.pop_front();            // the connection is gone
            continue;
        }
        if (front_sent_ < event.bytes.size()) return;
        front_sent_ -= event.bytes.size();
        queued_ -= event.bytes.size();
        if (event.opens) {
            if (const auto served = served_.find(event.id); served != served_.end()) {
                served->second.is_announced = true;
                served->second.state.reset();
            }
        }
        if (event.is_last) served_.erase(event.id);
        if (const auto ticket = tickets_.find(event.ticket); ticket != tickets_.end()) ticket->second.is_written = true;
        if (const auto gate = gates_.find(event.ticket); gate != gates_.end()) gate->second.is_written = true;
        if (!event.is_liveness()) wrote_since_ping_ = true;
        queue_.pop_front();
    }
}

void ScriptWorker::resume_paused() {
    std::vector<std::pair<ConnectionId, std::shared_ptr<Hub>>> resumed;
    {
        const std::lock_guard lock{mutex_};
        if (paused_ == 0 || queued_ > options_->high_mark / 2) return;
        for (auto& [id, served] : served_) {
            if (std::exchange(served.is_paused, false)) resumed.emplace_back(id, served.hub.lock());
        }
        paused_ = 0;
    }
    for (const auto& [id, hub] : resumed) {
        if (hub) (void)hub->resume_receiving(id);
    }
}

/// Obeys what the process has written. Returns false if that was wrong, or if it was the end.
bool ScriptWorker::read_output() {
    std::array<char, 64 * 1024> buffer;
    const ssize_t count = ::read(process_->output(), buffer.data(), buffer.size());
    is_drained_ = count < 0;
    if (count < 0) return errno == EAGAIN || errno == EINTR;
    if (count == 0) {
        process_->close_output();
        output_closed_at_ = Clock::now();
        return true;
    }
    reader_.feed({buffer.data(), static_cast<std::size_t>(count)});
    for (;;) {
        auto frame = reader_.next();
        if (!frame) return fault_ = frame.error(), false;
        if (!*frame) return true;
        if (const auto wrong = obey(**frame)) return fault_ = *wrong, false;
    }
}

bool ScriptWorker::read_errors() {
    std::array<char, 4096> buffer;
    const ssize_t count = ::read(process_->errors(), buffer.data(), buffer.size());
    if (count < 0) return errno == EINTR;
    if (count == 0) process_->close_errors();
    error_lines_.append(buffer.data(), static_cast<std::size_t>(count));
    constexpr std::size_t longest = 2000;
    for (;;) {
        const auto end = error_lines_.find('\n');
        const bool is_cut = end == std::string::npos && (error_lines_.size() > longest || count == 0);
        if (end == std::string::npos && !is_cut) return count > 0;
        if (error_lines_.empty()) return count > 0;
        note(LogLevel::warning, std::string_view{error_lines_}.substr(0, std::min(end, longest)));
        error_lines_.erase(0, end == std::string::npos ? error_lines_.size() : end + 1);
    }
}

/// The process is gone, or is killed now. What was not written waits for the next one.
void ScriptWorker::forget_process() {
    const bool was_ready = ready_.exchange(false);
    const bool was_expected = said_stop_ && !told_to_end_;
    process_.reset();
    ping_ = 0;
    wrote_since_ping_ = false;
    front_sent_ = 0;
    std::vector<Ticket> lost;
    std::vector<std::shared_ptr<ScriptGate>> opened;
    {
        const std::lock_guard lock{mutex_};
        std::erase_if(queue_, [this](const Event& event) {
            if (event.is_liveness()) queued_ -= event.bytes.size();
            return event.is_liveness();
        });
        std::erase_if(tickets_, [&](auto& entry) {
            if (entry.second.is_written) lost.push_back(std::move(entry.second));
            return entry.second.is_written;
        });
        std::erase_if(gates_, [&](auto& entry) {
            if (!entry.second.is_written) return false;
            opened.push_back(std::move(entry.second.gate));
            saving_.erase(entry.second.id);
            return true;
        });
        for (auto& [id, served] : served_) {
            if (!std::exchange(served.is_announced, false)) continue;
            served.is_again = true;
            queue_.push_front({.id = id, .opens = true});
        }
        for (Event& event : queue_) {
            if (event.opens) queued_ -= std::exchange(event.bytes, {}).size();  // now it may be known already
        }
        if (!first_start_) first_start_.emplace(Unexpected{fault_});
    }
    changed_.notify_all();
    for (Ticket& ticket : lost) ticket.answer(Unexpected{name_ + ": " + fault_});
    for (const auto& gate : opened) gate->open();
    if (was_ready && !was_expected) note(LogLevel::warning, fault_);
}

/// Returns false if it is not started again.
bool ScriptWorker::wait_before_restart() {
    std::unique_lock lock{mutex_};
    if (!first_start_ || !*first_start_) return false;  // it was never ready
    constexpr std::chrono::seconds long_life{10};
    if (Clock::now() - started_ > long_life) backoff_ = options_->first_restart;
    changed_.wait_for(lock, backoff_, [this] { return stopping_.load(); });
    backoff_ = std::min(2 * backoff_, options_->longest_restart);
    return !stopping_;
}

void ScriptWorker::fail_everything() {
    std::map<std::uint64_t, Ticket> tickets;
    std::map<std::uint64_t, GateEntry> gates;
    {
        const std::lock_guard lock{mutex_};
        stopping_ = true;
        tickets.swap(tickets_);
        gates.swap(gates_);
        queue_.clear();
    }
    for (auto& [number, ticket] : tickets) ticket.answer(Unexpected{name_ + " has ended"});
    for (auto& [number, entry] : gates) entry.gate->open();
}

}  // namespace wsserver
