#pragma once

#include "wsserver/server/detail/server_listeners.hpp"

#include <algorithm>
#include <utility>

namespace wsserver {

namespace {

std::string url_of(const Endpoint& endpoint) {
    if (endpoint.is_unix()) return "ws+unix:" + endpoint.unix_path;
    return "ws://" + to_string(endpoint);
}

std::string_view advice_on_pause(std::error_code why) {
    if (why == std::errc::too_many_files_open) return "; raise the limit of open files (ulimit -n)";
    if (why == std::errc::too_many_files_open_in_system) {
        return "; raise the limit of open files of this machine (sysctl fs.file-max)";
    }
    if (why == std::errc::not_enough_memory || why == std::errc::no_buffer_space) {
        return "; this machine has no memory for sockets";
    }
    if (why == std::errc::operation_not_permitted || why == std::errc::permission_denied) {
        return "; something forbids accept(2): a seccomp filter or a security module";
    }
    return "";
}

}  // namespace

Result<std::string, std::string> ServerListeners::listen(std::string_view text, const ListenOptions& options) {
    if (text == "systemd") return listen_inherited(options);
    auto endpoint = parse_endpoint(text);
    if (!endpoint) return Unexpected{endpoint.error()};
    auto listeners = open_listeners(*endpoint, reactors_.size());
    if (!listeners) return Unexpected{listeners.error()};
    // The address in numbers, which undrain() binds again whatever the name then means. An empty host stays empty: both
    // families.
    if (!endpoint->host.empty()) endpoint->host = listeners->endpoint.host;
    endpoint->port = listeners->endpoint.port;
    return add(*std::move(listeners), {.endpoint = *std::move(endpoint), .options = options}, text);
}

Result<std::string, std::string> ServerListeners::add(Listeners listeners, Place place, std::string_view text) {
    const std::string url = url_of(listeners.endpoint);
    const std::lock_guard lock(mutex_);
    if (closed_) return Unexpected{"cannot listen on " + std::string{text} + ": the server was stopped"};
    const ListenOptions options = place.options;
    urls_.push_back(url);
    places_.push_back(std::move(place));
    serve(std::move(listeners.sockets), options);
    return url;
}

Result<std::string, std::string> ServerListeners::adopt(Descriptor listener, const ListenOptions& options) {
    auto adopted = place_of(std::move(listener), options);
    if (!adopted) return Unexpected{adopted.error()};
    return add(std::move(adopted->first), std::move(adopted->second), "an inherited socket");
}

auto ServerListeners::place_of(Descriptor listener, const ListenOptions& options) const
    -> Result<std::pair<Listeners, Place>, std::string> {
    auto listeners = adopt_listeners(listener, reactors_.size());
    if (!listeners) return Unexpected{listeners.error()};
    Place place{
        .endpoint = listeners->endpoint, .options = options, .drained = false, .inherited = std::move(listener)};
    return std::pair{*std::move(listeners), std::move(place)};
}

Result<std::string, std::string> ServerListeners::listen_inherited(const ListenOptions& options) {
    auto sockets = take_inherited_sockets();
    if (!sockets) return Unexpected{"cannot listen on systemd: " + sockets.error()};
    std::vector<std::pair<Listeners, Place>> all;  // at first, so that an error adds none of them
    for (Descriptor& socket : *sockets) {
        auto adopted = place_of(std::move(socket), options);
        if (!adopted) return Unexpected{"cannot listen on systemd: " + adopted.error()};
        all.push_back(*std::move(adopted));
    }
    std::string urls;
    for (auto& [listeners, place] : all) {
        auto url = add(std::move(listeners), std::move(place), "an inherited socket");
        if (!url) return Unexpected{"cannot listen on systemd: " + url.error()};
        (urls += urls.empty() ? "" : " ") += *url;
    }
    return urls;
}

/// Precondition: mutex_ is locked.
void ServerListeners::serve(std::vector<ListeningSocket> sockets, const ListenOptions& options) {
    for (std::size_t i = 0; i < std::min(reactors_.size(), sockets.size()); ++i) {
        listeners_.push_back({i, ListenerHandle{sockets[i]}, options});
        reactors_.listen(i, std::move(sockets[i]), options);
    }
}

void ServerListeners::drain() {
    const std::lock_guard lock(mutex_);
    for (Place& place : places_) place.drained = true;
    shut_all();
    // While the mutex is locked, so that no reactor stops the listeners of an undrain() that follows.
    reactors_.tell_all([](AnyReactor& reactor) { reactor.stop_listening(); });
}

/// Opens new sockets: a Unix socket that was shut cannot listen again.
Result<void, std::string> ServerListeners::undrain() {
    const std::lock_guard undraining(undraining_);
    const std::vector<std::size_t> places = drained_places();
    std::vector<Listeners> opened;
    for (const std::size_t place : places) {
        auto listeners = open_again(place);
        if (!listeners) return Unexpected{listeners.error()};
        opened.push_back(*std::move(listeners));
    }
    const std::lock_guard lock(mutex_);
    if (closed_) return Unexpected{std::string{"the server was stopped"}};
    for (std::size_t i = 0; i < places.size(); ++i) {
        Place& place = places_[places[i]];
        serve(std::move(opened[i].sockets), place.options);
        place.drained = false;
    }
    return {};
}

std::vector<std::size_t> ServerListeners::drained_places() const {
    const std::lock_guard lock(mutex_);
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < places_.size(); ++i) {
        if (places_[i].drained) places.push_back(i);
    }
    return places;
}

Result<Listeners, std::string> ServerListeners::open_again(std::size_t place) const {
    std::unique_lock lock(mutex_);
    if (closed_) return Unexpected{std::string{"the server was stopped"}};
    const Place& one = places_[place];
    if (one.inherited) return adopt_listeners(one.inherited, reactors_.size());
    const Endpoint endpoint = one.endpoint;
    lock.unlock();  // to bind may take a while
    return open_listeners(endpoint, reactors_.size());
}

void ServerListeners::close() noexcept {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    shut_all();
    for (Place& place : places_) place.inherited = {};  // an inherited socket would go on listening here
    urls_.clear();
}

void ServerListeners::shut_all() noexcept {
    for (OfReactor& one : listeners_) one.listener.shut();
    listeners_.clear();
}

/// The clients that wait there are not lost.
void ServerListeners::give_to_first(std::size_t count) {
    const std::lock_guard lock(mutex_);
    std::size_t next = 0;
    for (OfReactor& one : listeners_) {
        if (one.reactor < count) continue;
        one.reactor = next++ % count;
        ListeningSocket socket = one.listener.duplicate();
        socket.descriptor() >= 0 ? reactors_.listen(one.reactor, std::move(socket), one.options) : one.listener.shut();
    }
}

void ServerListeners::accept_for(std::size_t reactor, std::size_t most, std::vector<AcceptedSocket>& clients) {
    const std::lock_guard lock(mutex_);
    for (OfReactor& one : listeners_) {
        if (one.reactor != reactor) continue;
        for (; most > 0; --most) {
            Descriptor client = one.listener.accept();
            if (!client) break;
            clients.push_back({std::move(client), one.options});
        }
    }
}

std::vector<std::string> ServerListeners::urls() const {
    const std::lock_guard lock(mutex_);
    return urls_;
}

void ServerListeners::accept_paused(std::error_code why) {
    if (why == std::errc::invalid_argument) return;  // the listener was shut; its reactor will stop listening soon
    accept_pauses_.fetch_add(1, std::memory_order_relaxed);
    callbacks_.log(LogLevel::warning,
                   std::string{"accepting is paused: "}.append(why.message()).append(advice_on_pause(why)));
}

}  // namespace wsserver
