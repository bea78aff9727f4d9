// Asks the reactors and waits for their answers, but not for a reactor that has stalled.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "wsserver/base/within_memory.hpp"
#include "wsserver/server/detail/program_callbacks.hpp"
#include "wsserver/server/detail/reactors.hpp"

namespace wsserver {

/// Any thread may call the members. The object lives as long as the reactors' threads.
class ReactorQueries {
   public:
    /// How long ask() waits for an answer.
    struct Patience {
        /// A turn of a reactor takes milliseconds, tens of them on a busy machine. A reactor that has not answered in
        /// this time is blocked by an inline handler. wsd-ctl waits 10 s for an answer.
        std::chrono::milliseconds within{2'000};
        /// How much longer, counted from when the caller finds that the answer is late. If this process was stopped
        /// meanwhile, the reactor had no time to answer.
        std::chrono::milliseconds late{100};
    };

    ReactorQueries(const Reactors& reactors, const ProgramCallbacks& callbacks, Patience patience) noexcept
        : reactors_(reactors), callbacks_(callbacks), patience_(patience) {}
    ReactorQueries(const Reactors& reactors, const ProgramCallbacks& callbacks) noexcept
        : ReactorQueries(reactors, callbacks, Patience{}) {}

    /// The reactors run from now on.
    void begin();
    /// The reactor does not answer any more.
    void stopped(std::uint16_t reactor);
    /// No reactor answers any more.
    void end();

    /// Calls `question` on each reactor's thread and waits for the answers. Answers of reactors that are not running or
    /// have stalled are missing.
    template <class Answer>
    std::vector<Answer> ask(const std::function<Answer(AnyReactor&)>& question);
    template <class Answer>
    std::optional<Answer> ask_one(std::uint16_t reactor, const std::function<Answer(AnyReactor&)>& question);
    /// Asks each reactor for a sign of life, unless it still owes one, and does not wait. A reactor that has owed it
    /// for two further calls is stalled until it answers. An answer counts only if the reactor serves its streams.
    void probe();
    /// The reactors that have owed an answer for too long, or do not serve.
    std::vector<std::uint16_t> stalled() const;
    bool is_stalled(std::uint16_t reactor) const noexcept;
    /// How often a reactor has stalled.
    std::uint64_t stalls() const noexcept { return stalls_.load(std::memory_order_relaxed); }

   private:
    /// What is known of a reactor's sign of life.
    struct Probe {
        unsigned calls = 0;    ///< of probe() since the reactor was asked first; 0: it owes nothing
        bool is_sent = false;  ///< the reactor has been asked, and has not answered
    };

    /// Returns the place of the future answer, for await(). Null if the reactor is not asked, because it does not run
    /// or has stalled.
    template <class Answer>
    std::shared_ptr<std::optional<Answer>> pose(std::uint16_t reactor,
                                                const std::function<Answer(AnyReactor&)>& question);
    template <class Answer>
    std::optional<Answer> await(std::uint16_t reactor, const std::shared_ptr<std::optional<Answer>>& place,
                                Clock::time_point deadline);
    /// Whether the reactor runs and owes no answer to an earlier question. Precondition: mutex_ is locked.
    bool may_answer(std::uint16_t reactor) const;
    /// True if the reactor runs and has owed a sign of life for two calls. Counts the call.
    bool is_overdue(std::uint16_t reactor);
    bool must_be_probed(std::uint16_t reactor);
    void forget_probe(std::uint16_t reactor);
    /// The reactor is asked again by the next call of probe().
    void unsend_probe(std::uint16_t reactor);
    void set_stalled(std::uint16_t reactor);
    /// Precondition: mutex_ is locked. Returns true if report_stall() must follow.
    bool note_stall(std::uint16_t reactor);
    void report_stall(std::uint16_t reactor);
    /// Called on the reactor's thread.
    void answer_probe(std::uint16_t reactor);
    /// Called on the reactor's thread, after it has answered.
    void set_answering(std::uint16_t reactor);

    const Reactors& reactors_;
    const ProgramCallbacks& callbacks_;
    const Patience patience_;
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<bool> running_;  ///< by reactor
    std::set<std::uint16_t> stalled_;
    std::vector<Probe> probes_;  ///< by reactor
    std::atomic<std::uint64_t> stalls_{0};
};

template <class Answer>
std::shared_ptr<std::optional<Answer>> ReactorQueries::pose(std::uint16_t reactor,
                                                            const std::function<Answer(AnyReactor&)>& question) {
    // Shared, because the answer may arrive after the caller has stopped waiting.
    auto place = std::make_shared<std::optional<Answer>>();
    AnyReactor& asked = reactors_[reactor];
    if (asked.on_own_thread()) {
        *place = question(asked);
        return place;
    }
    {
        const std::lock_guard lock(mutex_);
        if (!may_answer(reactor)) return nullptr;
    }
    asked.post([this, place, question, reactor] {
        Answer answer{};  // stays empty without memory
        (void)within_memory([&] { answer = question(reactors_[reactor]); });
        {
            const std::lock_guard lock(mutex_);
            *place = std::move(answer);
            changed_.notify_all();
        }
        answer_probe(reactor);
    });
    return place;
}

template <class Answer>
std::optional<Answer> ReactorQueries::await(std::uint16_t reactor, const std::shared_ptr<std::optional<Answer>>& place,
                                            Clock::time_point deadline) {
    if (!place) return std::nullopt;
    std::unique_lock lock(mutex_);
    const auto settled = [&] { return *place || !may_answer(reactor); };
    if (changed_.wait_until(lock, deadline, settled)) return std::move(*place);
    if (changed_.wait_for(lock, patience_.late, settled)) return std::move(*place);
    const bool is_new = note_stall(reactor);  // before the lock is released: the answer may arrive right after
    lock.unlock();
    if (is_new) report_stall(reactor);
    return std::nullopt;
}

template <class Answer>
std::optional<Answer> ReactorQueries::ask_one(std::uint16_t reactor,
                                              const std::function<Answer(AnyReactor&)>& question) {
    const auto deadline = Clock::now() + patience_.within;
    return await(reactor, pose(reactor, question), deadline);
}

template <class Answer>
std::vector<Answer> ReactorQueries::ask(const std::function<Answer(AnyReactor&)>& question) {
    const auto deadline = Clock::now() + patience_.within;
    const auto count = static_cast<std::uint16_t>(reactors_.size());
    std::vector<std::shared_ptr<std::optional<Answer>>> places;
    for (std::uint16_t i = 0; i < count; ++i) places.push_back(pose(i, question));
    std::vector<Answer> answers;
    for (std::uint16_t i = 0; i < count; ++i) {
        if (auto answer = await(i, places[i], deadline)) answers.push_back(*std::move(answer));
    }
    return answers;
}

}  // namespace wsserver
