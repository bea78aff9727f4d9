#pragma once

#include "wsserver/client/detail/client_impl.hpp"

#include <openssl/rand.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <utility>

#include "wsserver/base/within_memory.hpp"

namespace wsserver {

MaskingKey RandomKeys::next_key() noexcept {
    if (next_ == keys_.size()) {
        // Without random numbers no frame may be sent, and the caller cannot handle the error.
        if (RAND_bytes(keys_.front().data(), static_cast<int>(sizeof keys_)) != 1) std::abort();
        next_ = 0;
    }
    return keys_[next_++];
}

// --- Attempts ---

Client::Impl::Impl(boost::asio::io_context& context, ClientOptions given)
    : OwnerOn(transport_),
      options_(std::move(given)),
      backoff_(options_.reconnect),
      loop_thread_(context),
      transport_(context),
      reachable_(connection_),
      client_hub_(std::make_shared<ClientHub>(transport_, reachable_)),
      timers_(transport_) {
    hub_ = client_hub_;
    use_options(options_.connection);
    protocol_options_.tap = options_.tap;
    protocol_options_.keys = &keys_;
    transport_.on_wake([this] { wake(); });
}

void Client::Impl::connect(std::string url, std::shared_ptr<AnyHandler> handler) {
    url_text_ = std::move(url);
    handler_ = std::move(handler);
    wanted_ = true;
    backoff_.reset();
    dont_retry();
    attempt_.cancel();
    connecting_ = false;
    restart_ = true;
    if (!connection_) return post(&Impl::attempt);
    // on_released() begins the attempt.
    if (connection_->is_opening()) {
        connection_->terminate("replaced by a later connect()", std::make_error_code(std::errc::operation_canceled));
    } else {
        connection_->close(CloseCode::going_away, "the client connects again");
    }
}

void Client::Impl::post(void (Impl::*step)()) {
    transport_.post([self = weak_from_this(), step] {
        const auto impl = self.lock();
        if (!impl) return;
        impl->loop_thread_.note();
        (impl.get()->*step)();
    });
}

void Client::Impl::attempt() {
    if (!wanted_ || connection_ || connecting_) return;
    restart_ = false;
    if (!within_memory([this] { begin_attempt(); })) out_of_memory();
}

void Client::Impl::out_of_memory() {
    connecting_ = false;
    failed("out of memory", std::make_error_code(std::errc::not_enough_memory));
}

void Client::Impl::begin_attempt() {
    auto url = parse_url(url_text_);
    if (!url) {
        wanted_ = false;  // another attempt would fail, too
        return failed(url.error(), std::make_error_code(std::errc::invalid_argument));
    }
    url_ = std::move(*url);
    if (url_.secure) {
        wanted_ = false;
        return failed("TLS (wss://) is not supported yet; use ws://, or a TLS proxy such as nginx in front",
                      std::make_error_code(std::errc::protocol_not_supported));
    }
    if (const auto checked = check_request(make_request()); !checked) {
        wanted_ = false;
        return failed(checked.error(), std::make_error_code(std::errc::invalid_argument));
    }
    connecting_ = true;
    deadline_ = later(transport_.now(), options_.connect_timeout);
    attempt_ =
        transport_.connect(destination(), deadline_, [this](Result<AsioTransport::Socket, std::error_code> socket) {
            connecting_ = false;
            connected(std::move(socket));
        });
}

Endpoint Client::Impl::destination() const {
    Endpoint to = options_.connect_to.value_or(Endpoint{{}, 0, url_.unix_path});
    if (to.is_unix()) return to;
    if (to.host.empty()) to.host = url_.host;
    if (to.port == 0) std::from_chars(url_.port.data(), url_.port.data() + url_.port.size(), to.port);
    return to;
}

ClientRequest Client::Impl::make_request() const {
    ClientRequest request;
    request.host = options_.host.empty() ? url_.host_field() : options_.host;
    request.target = url_.target;
    request.subprotocols = options_.subprotocols;
    request.origin = options_.origin;
    request.fields = options_.fields;
    // Aborts, as for the masking keys.
    if (RAND_bytes(request.nonce.data(), static_cast<int>(request.nonce.size())) != 1) std::abort();
    return request;
}

void Client::Impl::connected(Result<AsioTransport::Socket, std::error_code> socket) {
    if (!socket) return connect_failed(socket.error());
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ - transport_.now());
    ConnectionOptions options = options_.connection;
    options.handshake_timeout = std::max(left, std::chrono::milliseconds{1});
    use_options(options);
    ClientRequest request;
    std::string text;
    const auto prepare = [&] {
        request = make_request();
        if (request_) text = ClientHandshake{request}.request();
    };
    if (!within_memory(prepare)) return out_of_memory();
    if (request_) show(text);
    if (restart_) return;  // the listener has called connect()
    if (!wanted_) return failed("given up", std::make_error_code(std::errc::operation_canceled));
    if (++generation_ == 0) ++generation_;
    const ConnectionId id{0, 0, generation_};
    const auto emplace = [&] { connection_.emplace(id, static_cast<OwnerOn&>(*this), std::move(*socket)); };
    if (!within_memory(emplace)) return out_of_memory();
    connection_->start(std::move(request), handler_);
}

void Client::Impl::connect_failed(std::error_code error) {
    std::string cause;
    const auto explain = [&] { cause = "can't connect to " + url_text_ + ": " + error.message(); };
    if (!within_memory(explain)) return out_of_memory();
    failed(std::move(cause), error);
}

void Client::Impl::show(std::string_view request) {
    try {
        request_(request);
    } catch (...) {
        failed("the listener for the request threw", std::make_error_code(std::errc::operation_canceled));
        throw;
    }
}

/// An attempt failed before there was a connection.
void Client::Impl::failed(std::string cause, std::error_code error) {
    ConnectionEnd end;
    end.cause = std::move(cause);
    end.error = error;
    ended(end);
}

void Client::Impl::ended(const ConnectionEnd& end) {
    backoff_.ended(transport_.now());
    if (restart_) backoff_.reset();
    const bool retry = retry_later();
    if (!retry && !restart_) wanted_ = false;
    if (end_ && !shut_down_) end_(end, retry);
}

/// Returns true if another attempt follows.
bool Client::Impl::retry_later() {
    if (!wanted_ || restart_ || shut_down_) return false;
    const auto wait = backoff_.next_wait(std::uniform_real_distribution{}(jitter_));
    if (!wait) return false;
    retry_at_ = later(transport_.now(), *wait);
    timers_.arm(retry_at_);
    return true;
}

SendStatus Client::Impl::close(CloseCode code, std::string_view reason) {
    wanted_ = false;
    dont_retry();
    const bool was_to_begin = std::exchange(restart_, false);
    const bool was_connecting = std::exchange(connecting_, false);
    if (connection_ && connection_->is_opening()) {
        connection_->terminate("given up", std::make_error_code(std::errc::operation_canceled));
    } else if (was_to_begin || was_connecting) {
        attempt_.cancel();
        failed("given up", std::make_error_code(std::errc::operation_canceled));
    }
    return connection_ ? connection_->close(code, reason) : SendStatus::closed;
}

void Client::Impl::dont_retry() {
    retry_at_ = never;
    disarm_timers();
}

void Client::Impl::shut_down() {
    shut_down_ = true;
    wanted_ = false;
    restart_ = false;
    client_hub_->detach();
    retry_at_ = never;
    attempt_.cancel();
    if (connection_) connection_->terminate("the client is gone");
}

// --- The connection's owner ---

void Client::Impl::on_released(ConnectionId) {
    connection_.reset();
    if (restart_ && !within_memory([this] { post(&Impl::attempt); })) {
        retry_at_ = transport_.now();  // wake() begins the attempt
        timers_.arm(retry_at_);
    }
    disarm_timers();
}

void Client::Impl::flush_later(ConnectionId) { post(&Impl::flush); }

void Client::Impl::go_on_later(ConnectionId) { post(&Impl::go_on); }

void Client::Impl::go_on() {
    if (connection_) connection_->go_on();
}

void Client::Impl::flush() {
    if (connection_) connection_->flush();
}

void Client::Impl::wake() {
    loop_thread_.note();
    if (timers_.fire() >= retry_at_ && !connection_) {  // otherwise again when the last one is released
        retry_at_ = never;
        attempt();
    }
    timers_.arm(retry_at_);
}

/// A wake-up without a purpose would keep the caller's loop from running out of work.
void Client::Impl::disarm_timers() {
    if (!connection_ && retry_at_ == never) timers_.disarm();
}

}  // namespace wsserver
