#pragma once

#include "wsserver/relay.hpp"

#include <boost/asio/post.hpp>
#include <cassert>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "wsserver/base/within_memory.hpp"
#include "wsserver/client/detail/loop_thread.hpp"

namespace wsserver {

namespace {

/// The code that an end gets when the other one was closed with `code`. `lost` is for an end without a Close frame.
CloseCode relayed_code(CloseCode code, CloseCode lost) noexcept {
    if (code == CloseCode::no_status) return CloseCode::normal;
    return may_be_sent(code) ? code : lost;
}

bool has_path(std::string_view url) noexcept {
    constexpr std::string_view scheme = "ws://";
    return !url.starts_with(scheme) || url.find('/', scheme.size()) != url.npos;
}

}  // namespace

struct Relay::State {
    State(boost::asio::io_context& loop, ChooseUrl choose_url, ClientOptions given)
        : context(loop), choose(std::move(choose_url)), options(std::move(given)), thread(loop) {
        options.reconnect.reset();
    }

    boost::asio::io_context& context;
    const ChooseUrl choose;
    ClientOptions options;
    LoopThread thread;
    std::unordered_map<const Pair*, std::shared_ptr<Pair>> pairs{};  ///< until both ends have ended
};

/// A connection (`near`), and the client that is connected upstream for it (`far`).
class Relay::Pair : public std::enable_shared_from_this<Pair> {
   public:
    Pair(State& state, AnyConnection& near) : state_(state), near_(&near), far_(state.context, options_for(near)) {}

    void connect() {
        near_->pause_receiving();
        far_.on_end([this](const ConnectionEnd& end, bool) { far_ended(end); });
        far_.connect(state_.choose(*near_), Far{this});
    }
    void send_far(const AnyMessage& message) {
        // It is not read while there is no space, unless it closes: what it sends then is not needed any more.
        if (!far_.has_space() && near_->pause_receiving() == SendStatus::closed) return;
        far_.send(message);
        if (!far_.has_space()) near_->pause_receiving();
    }
    void near_drained() { far_.resume_receiving(); }
    void near_closed(const Close& close) {
        const auto self = shared_from_this();
        near_ = nullptr;
        if (far_is_gone_) return end();
        far_.close(relayed_code(close.code, CloseCode::going_away),
                   close.code == CloseCode::abnormal ? "the client is gone" : close.reason);
        if (far_.is_idle()) end();
    }
    /// Its connection is not used any more.
    void forget_near() noexcept { near_ = nullptr; }

   private:
    /// The handler of the client.
    struct Far {
        Pair* pair;
        void on_open(AnyConnection& connection) { pair->far_opened(connection.subprotocol()); }
        void on_message(AnyConnection&, Text message) { pair->send_near(std::move(message)); }
        void on_message(AnyConnection&, Binary message) { pair->send_near(std::move(message)); }
        void on_drained(AnyConnection&) {
            if (pair->near_ != nullptr) pair->near_->resume_receiving();
        }
        void on_close(AnyConnection&, const Close& close) { pair->far_closed(close); }
    };

    ClientOptions options_for(const AnyConnection& near) const {
        ClientOptions options = state_.options;
        options.subprotocols.clear();
        if (!near.subprotocol().empty()) options.subprotocols.emplace_back(near.subprotocol());
        return options;
    }
    void far_opened(std::string_view subprotocol) {
        if (near_ == nullptr) return;
        if (subprotocol == near_->subprotocol()) return void(near_->resume_receiving());
        near_->close(CloseCode::bad_gateway, "the upstream server speaks another subprotocol");
        far_.close(CloseCode::protocol_error, "another subprotocol");
    }
    void send_near(const AnyMessage& message) {
        if (near_ == nullptr) return;
        near_->send(message);
        if (!near_->has_space()) far_.pause_receiving();
    }
    void far_closed(const Close& close) {
        if (near_ == nullptr) return;
        near_->close(relayed_code(close.code, CloseCode::bad_gateway),
                     close.code == CloseCode::abnormal ? "the upstream server is gone" : close.reason);
    }
    void far_ended(const ConnectionEnd& end_of_far) {
        far_is_gone_ = true;
        if (near_ == nullptr) return end();
        if (!end_of_far.opened) near_->close(CloseCode::bad_gateway, "the upstream server cannot be reached");
    }
    /// Destroys this object, unless a caller keeps it.
    void end() { state_.pairs.erase(this); }

    State& state_;
    /// Null after its on_close(). A reaction gives it for its own time only; but no reaction of a connection on this
    /// loop runs elsewhere, and the object lives until on_close() has returned.
    AnyConnection* near_;
    Client far_;
    bool far_is_gone_ = false;
};

Relay::Relay(boost::asio::io_context& context, std::string url, ClientOptions options)
    : Relay(context, ChooseUrl{[url = std::move(url)](const AnyConnection& connection) {
                return has_path(url) ? url : url + std::string{connection.target()};
            }},
            std::move(options)) {}

Relay::Relay(boost::asio::io_context& context, ChooseUrl choose, ClientOptions options)
    : state_(std::make_shared<State>(context, std::move(choose), std::move(options))) {}

/// A client must end on the thread of its loop. The last reference to a handler may be dropped by a worker.
Relay::~Relay() {
    if (!state_) return;
    const auto forget = [](State& state) {
        for (const auto& [key, pair] : state.pairs) pair->forget_near();
    };
    if (state_->thread.may_end_here()) {
        forget(*state_);
        return;
    }
    boost::asio::io_context& context = state_->context;
    (void)within_memory([&] { boost::asio::post(context, [forget, state = std::move(state_)] { forget(*state); }); });
}

/// Null if there was no memory in on_open().
Relay::Pair* Relay::pair_of(const AnyConnection& connection) noexcept {
    return static_cast<Pair*>(connection.user_data());
}

void Relay::on_open(AnyConnection& connection) {
    state_->thread.note();
    const auto pair = std::make_shared<Pair>(*state_, connection);
    state_->pairs.emplace(pair.get(), pair);
    connection.set_user_data(pair.get());
    pair->connect();
}

void Relay::on_message(AnyConnection& connection, Text message) {
    if (Pair* const pair = pair_of(connection)) pair->send_far(std::move(message));
}

void Relay::on_message(AnyConnection& connection, Binary message) {
    if (Pair* const pair = pair_of(connection)) pair->send_far(std::move(message));
}

void Relay::on_drained(AnyConnection& connection) {
    if (Pair* const pair = pair_of(connection)) pair->near_drained();
}

void Relay::on_close(AnyConnection& connection, const Close& close) {
    state_->thread.note();
    if (Pair* const pair = pair_of(connection)) pair->near_closed(close);
}

}  // namespace wsserver
