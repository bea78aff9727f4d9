// One process of a script: its queue of events, the connections that it serves, and what it asks for.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "wsserver/base/descriptor.hpp"
#include "wsserver/base/result.hpp"
#include "wsserver/connection/hub.hpp"
#include "wsserver/connection/saved_state.hpp"
#include "wsserver/handler/detail/script_process.hpp"
#include "wsserver/handler/script_frame.hpp"
#include "wsserver/handler/script_handler.hpp"

namespace wsserver {

/// Opens when an older process has done all its work for a connection, and then has what that has saved.
class ScriptGate {
   public:
    using Opened = std::function<void(std::optional<SavedState>)>;

    /// Calls `opened` when it opens, at once if it is open. Any thread.
    void when_open(Opened opened);
    void save(SavedState state);
    void open();

   private:
    std::mutex mutex_;
    bool is_open_ = false;
    std::optional<SavedState> state_;
    Opened opened_;
};

/// Runs one process of a script on a thread of its own, and starts it again when it ends. Every member may be called on
/// any thread and does not wait, unless it says so.
class ScriptWorker : public std::enable_shared_from_this<ScriptWorker> {
   public:
    using Clock = std::chrono::steady_clock;

    /// `name` is for the log.
    ScriptWorker(std::shared_ptr<const ScriptOptions> options, std::string name, HandlerLog log);
    ScriptWorker(const ScriptWorker&) = delete;
    ScriptWorker& operator=(const ScriptWorker&) = delete;
    ~ScriptWorker();

    /// Lets the script finish, and kills it if it takes too long. Waits for it. Then nothing waits any more.
    void stop();

    /// Starts the process. Waits until it is ready. Returns the words that it says it knows.
    Result<std::set<std::string>, std::string> start();

    /// A connection opened. `environment` is for its event. With a gate, its events wait until that is open.
    void add(ConnectionId id, const std::shared_ptr<Hub>& hub, std::string environment,
             const std::shared_ptr<ScriptGate>& gate);
    /// What is to happen with the connection whose event was put.
    enum class Put : std::uint8_t {
        queued,
        pause,  ///< much waits: do not receive from it; the worker resumes it
        full,   ///< the event was dropped
    };
    /// An event of a connection that was added: `words` without its id.
    Put put(ConnectionId id, std::vector<std::string> words, std::string_view payload = {});
    /// The last event of a connection.
    void remove(ConnectionId id, std::vector<std::string> words, std::string_view payload);
    /// A newer process takes the connection over. The gate opens when this one has done its work for it.
    std::shared_ptr<ScriptGate> hand_over(ConnectionId id);
    /// Asks something that is not about a connection: `words` after the first one, which is followed by a number that
    /// the answer has, too. Waits for the answer.
    Result<ScriptFrame, std::string> ask(std::string word, std::vector<std::string> words, std::string_view payload,
                                         std::chrono::milliseconds most);

   private:
    struct Event {
        ConnectionId id{};         ///< default: none
        bool opens = false;        ///< `bytes` are made when it is written
        bool is_last = false;      ///< of its connection
        std::uint64_t ticket = 0;  ///< the number in it; 0: none
        std::string bytes{};

        /// A ping that asks only whether the process goes on, or `stop`.
        bool is_liveness() const noexcept { return ticket == 0 && id == ConnectionId{}; }
    };
    struct Served {
        std::weak_ptr<Hub> hub;
        std::string environment;
        bool is_announced = false;  ///< its first event was written to the process
        bool is_again = false;      ///< another process has known it
        bool is_held = false;       ///< by its gate
        bool is_paused = false;
        std::optional<SavedState> state{};  ///< of the other process
        std::deque<Event> held{};
    };
    struct Ticket {
        std::function<void(Result<ScriptFrame, std::string>)> answer;
        bool is_written = false;
    };
    struct GateEntry {
        std::shared_ptr<ScriptGate> gate;
        ConnectionId id;
        bool is_written = false;
    };

    /// A process is asked whether it goes on, at most this often.
    static constexpr std::chrono::seconds ping_interval{1};
    /// A process that has closed its standard output ends within this time.
    static constexpr std::chrono::seconds end_after_output{1};

    void wake() const noexcept;
    void release(ConnectionId id, std::optional<SavedState> state);
    void push(Event event);
    Event event_of(ConnectionId id, std::vector<std::string> words, std::string_view payload) const;

    // The thread.
    void run();
    void serve_process();
    bool poll_once();
    bool take_end();
    Clock::time_point next_look(Clock::time_point now, bool has_events) const;
    std::optional<std::string> overdue(Clock::time_point now, bool has_events);
    void prepare(Event& event);
    void write_events();
    void written(std::size_t bytes);
    void resume_paused();
    bool read_output();
    bool read_errors();
    void forget_process();
    bool wait_before_restart();
    void fail_everything();

    // Requests. Each returns what is wrong with its frame.
    using Fault = std::optional<std::string>;
    Fault obey(const ScriptFrame& frame);
    Fault obey_ready(const ScriptFrame& frame);
    Fault obey_message(const ScriptFrame& frame);
    Fault obey_connection(const ScriptFrame& frame);
    Fault obey_answer(const ScriptFrame& frame);
    Fault obey_timer(const ScriptFrame& frame, ConnectionId id);
    Fault obey_log(const ScriptFrame& frame);
    void pong(std::uint64_t number);
    std::shared_ptr<Hub> hub();
    void note(LogLevel level, std::string_view text) const;

    const std::shared_ptr<const ScriptOptions> options_;
    const std::string name_;
    const HandlerLog log_;
    const Descriptor wake_;  ///< an eventfd
    std::atomic<bool> ready_{false};
    std::atomic<bool> stopping_{false};

    std::mutex mutex_;  // guards what follows
    std::condition_variable changed_;
    std::deque<Event> queue_;
    std::size_t queued_ = 0;  ///< bytes in queue_ and held
    std::size_t paused_ = 0;  ///< connections
    std::size_t held_ = 0;    ///< connections
    std::map<ConnectionId, Served> served_;
    std::map<std::uint64_t, Ticket> tickets_;
    std::map<std::uint64_t, GateEntry> gates_;                    ///< by the number of their ping
    std::map<ConnectionId, std::shared_ptr<ScriptGate>> saving_;  ///< of connections that another process takes over
    std::weak_ptr<Hub> hub_;  ///< of the connection that was added last; a server owns its handlers
    std::uint64_t last_number_ = 0;
    std::optional<Result<std::set<std::string>, std::string>> first_start_;

    // Of the thread only.
    std::optional<ScriptProcess> process_;
    ScriptFrameReader reader_;
    std::string error_lines_;
    std::string fault_;           ///< why the process has ended
    std::size_t front_sent_ = 0;  ///< bytes of the first event that were written
    std::uint64_t ping_ = 0;      ///< the number of the one that is awaited; 0: none
    bool wrote_since_ping_ = false;
    bool is_drained_ = false;  ///< read_output() has found nothing
    bool had_events_ = false;  ///< there was something to write when it was last looked at
    bool said_stop_ = false;
    bool told_to_end_ = false;  ///< by a signal
    Clock::time_point started_{}, written_at_{}, pinged_at_{}, output_closed_at_{}, stop_by_{};
    std::chrono::milliseconds backoff_;
    std::thread thread_;  // last
};

}  // namespace wsserver
