// A connect() in progress on an AsioLoop: resolves the host and tries its addresses one after the other.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <system_error>
#include <vector>

#include "wsserver/transport/detail/asio/loop.hpp"
#include "wsserver/transport/detail/socket_address.hpp"

namespace wsserver::detail {

/// See AsioTransport::connect(). Its pending operations keep it alive.
class AsioConnecting : public std::enable_shared_from_this<AsioConnecting> {
   public:
    AsioConnecting(AsioLoop& loop, Clock::time_point deadline, AsioTransport::Connected connected);
    AsioConnecting(const AsioConnecting&) = delete;
    AsioConnecting& operator=(const AsioConnecting&) = delete;
    ~AsioConnecting() { abandon_lookup(); }

    void start(const Endpoint& to);
    void cancel();

   private:
    struct Lookup;

    void look_up(const Endpoint& to);
    template <class F>
    void in_turn(F&& f);
    void looked_up(Result<std::vector<SocketAddress>, std::error_code> found);
    void abandon_lookup() noexcept;
    void try_address();
    void await_connection();
    void connection_settled();
    void next_address(int error);
    void finish(Result<Descriptor, std::error_code> result);
    void stop_waiting();
    Clock::time_point end_of_attempt() const;
    /// True if the address with this number is still tried.
    bool awaits(std::size_t number) const noexcept { return !finished_ && connected_ && number == trying_; }

    AsioLoop& loop_;
    Clock::time_point deadline_;
    AsioTransport::Connected connected_;  // null once called or cancelled
    bool finished_ = false;               // the call of connected_ has been posted
    std::shared_ptr<Lookup> lookup_;
    // Keeps the caller's loop from running out of work while the lookup thread runs.
    std::optional<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>> lookup_work_;
    std::vector<SocketAddress> addresses_;
    std::size_t trying_ = 0;
    WaitableDescriptor socket_;
    LoopTimer deadline_timer_;
    LoopTimer attempt_timer_;
};

}  // namespace wsserver::detail
