// What a program decides about a client's opening handshake, now or later.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include "wsserver/base/result.hpp"
#include "wsserver/base/within_memory.hpp"
#include "wsserver/connection/admission.hpp"
#include "wsserver/connection/connection_info.hpp"

namespace wsserver {

/// The program's decision, or one line that says why it did not make one. Then the client gets a 500.
using UpgradeDecision = Result<Admission, std::string>;

namespace detail {

/// The way from an UpgradeReply to its connection.
class UpgradeTicket {
   public:
    UpgradeTicket() = default;
    UpgradeTicket(const UpgradeTicket&) = delete;
    UpgradeTicket& operator=(const UpgradeTicket&) = delete;
    virtual ~UpgradeTicket() = default;

    /// Passes the decision to the connection. Called at most once, by any thread.
    virtual SendStatus answer(UpgradeDecision&& decision) = 0;

    /// The connection does not wait for the decision any more.
    void void_it() noexcept {
        is_gone_.store(true, std::memory_order_relaxed);
        on_void();
    }
    bool is_gone() const noexcept { return is_gone_.load(std::memory_order_relaxed); }

   private:
    /// Frees what only a decision would need.
    virtual void on_void() noexcept {}

    std::atomic<bool> is_gone_{false};
};

}  // namespace detail

/// Answers one opening handshake, from any thread and at any time before the handshake times out. It has one owner. If
/// it is destroyed without an answer, the client gets a 500.
class UpgradeReply {
   public:
    /// For the server.
    explicit UpgradeReply(std::shared_ptr<detail::UpgradeTicket> ticket) noexcept : ticket_(std::move(ticket)) {}
    /// Takes over the handshake. The source has none any more.
    UpgradeReply(UpgradeReply&&) noexcept = default;
    /// Same. The handshake that this object had gets a 500.
    UpgradeReply& operator=(UpgradeReply&& other) noexcept {
        UpgradeReply{std::move(other)}.ticket_.swap(ticket_);
        return *this;
    }
    UpgradeReply(const UpgradeReply&) = delete;
    UpgradeReply& operator=(const UpgradeReply&) = delete;
    ~UpgradeReply() {
        if (ticket_) (void)within_memory([&] { answer(Unexpected{std::string{"the reply was destroyed"}}); });
    }

    /// Accepts or refuses the client. The result is `queued` if the decision is on its way; `closed` if the client has
    /// gone, its time is over, the server has stopped, or an answer was given before; `dropped` if there is no memory
    /// to pass it on.
    SendStatus operator()(Admission admission) { return answer(std::move(admission)); }
    /// The program cannot decide, because of `why`, which is logged: the client gets a 500. The result is the same.
    SendStatus fail(std::string why) { return answer(Unexpected{std::move(why)}); }
    /// True if the client has gone or its time is over, or if an answer was given. A client that has sent more than its
    /// request is not read meanwhile, so its end is not noticed before its time is over.
    bool is_gone() const noexcept { return !ticket_ || ticket_->is_gone(); }

   private:
    SendStatus answer(UpgradeDecision&& decision) {
        const auto ticket = std::exchange(ticket_, nullptr);
        return ticket && !ticket->is_gone() ? ticket->answer(std::move(decision)) : SendStatus::closed;
    }

    std::shared_ptr<detail::UpgradeTicket> ticket_;
};

}  // namespace wsserver
