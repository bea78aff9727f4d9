// The reactors of a server: makes them and reaches them by number.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "wsserver/base/descriptor.hpp"
#include "wsserver/base/unique_function.hpp"
#include "wsserver/server.hpp"
#include "wsserver/server/detail/reactor.hpp"
#include "wsserver/transport/listener.hpp"

namespace wsserver {

/// A client that was accepted in place of a reactor.
struct AcceptedSocket {
    Descriptor descriptor;
    ListenOptions options;   ///< of its listener
    std::string received{};  ///< the bytes that were read from it already
};

/// Between make() and clear() only keep_first() changes it, so any thread may call the other members.
class Reactors {
   public:
    /// What the reactors are made with.
    struct Plan {
        ReactorShared& shared;
        const ServerOptions& options;
        boost::asio::io_context* context;  ///< the caller's loop; null: each reactor has a loop of its own
        std::function<void(std::error_code)> accept_paused;  ///< called on the reactor's thread
        std::function<void()> completions_lost;              ///< called on the reactor's thread
        std::function<void()> requests_left;                 ///< called on the reactor's thread
    };

    /// Makes as many reactors as descriptors and memory allow. Throws if it cannot make any.
    void make(const Plan& plan);
    /// Terminates their connections and destroys them.
    void clear() noexcept { reactors_.clear(); }
    /// From now on, the others are not reached by the members below. They are not destroyed before clear(), because
    /// another thread may just use them.
    void keep_first(std::size_t count) noexcept { size_ = count; }

    std::size_t size() const noexcept { return size_; }
    AnyReactor& operator[](std::size_t number) const noexcept { return *reactors_[number]; }
    std::vector<AnyReactor*> all() const;
    /// True if the calling thread is that of a reactor.
    bool on_own_thread() const noexcept;
    /// Calls `task` on each reactor's thread, without waiting.
    void tell_all(const std::function<void(AnyReactor&)>& task) const;
    /// Makes a reactor serve the peers of `socket`, without waiting.
    void listen(std::size_t number, ListeningSocket socket, const ListenOptions& options) const;

    /// Passes an accepted socket to a reactor. The reactor's thread.
    void accept(std::size_t number, AcceptedSocket client) const { accept_[number](std::move(client)); }

    /// Why there are fewer than were asked for. Empty if all were made, and after the first call.
    std::string take_why_fewer() noexcept { return std::exchange(why_fewer_, {}); }
    /// Why io_uring is not used. Empty if it is used or was not requested, and after the first call.
    std::string take_why_no_uring() noexcept { return std::exchange(why_no_uring_, {}); }

   private:
    using Listen = UniqueFunction<void(ListeningSocket, const ListenOptions&)>;
    using Accept = UniqueFunction<void(AcceptedSocket)>;

    bool may_use_uring(const Plan& plan);
    void make_one(const Plan& plan, bool uring);
    template <Transport T, class... Args>
    void add(const Plan& plan, Args&&... transport);

    std::string why_fewer_;
    std::string why_no_uring_;
    std::vector<std::unique_ptr<AnyReactor>> reactors_;
    std::atomic<std::size_t> size_{0};    ///< of those that are used
    mutable std::vector<Listen> listen_;  ///< by reactor; each is called on its thread
    mutable std::vector<Accept> accept_;  ///< the same
};

}  // namespace wsserver
