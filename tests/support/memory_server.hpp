// Reactors on a network in memory, and clients that can write each byte.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "support/counting_keys.hpp"
#include "wsserver/connection/any_handler.hpp"
#include "wsserver/protocol/event_text.hpp"
#include "wsserver/protocol/protocol.hpp"
#include "wsserver/server/detail/memory_reactors.hpp"

namespace wsserver::test {

/// `close received 1000 bye`, `close sent 1000`, `ping 3`, `pong 0`, `dropped 2`
inline std::string words_of(const ConnectionEvent& event) {
    const auto close = [&event](std::string words) {
        words += ' ' + std::to_string(static_cast<int>(event.code));
        if (!event.reason.empty()) words.append(" ").append(event.reason);
        return words;
    };
    switch (event.kind) {
        case ConnectionEvent::Kind::close_received:
            return close("close received");
        case ConnectionEvent::Kind::close_sent:
            return close("close sent");
        case ConnectionEvent::Kind::ping_received:
            return "ping " + std::to_string(event.count);
        case ConnectionEvent::Kind::pong_received:
            return "pong " + std::to_string(event.count);
        case ConnectionEvent::Kind::messages_dropped:
            return "dropped " + std::to_string(event.count);
    }
    return {};
}

/// The state that reactors share, with a record of their calls.
class RecordingShared final : public ReactorShared {
   public:
    std::shared_ptr<ServerHub> server_hub = std::make_shared<ServerHub>(std::size_t{64} << 10);
    std::shared_ptr<Hub> any_hub = server_hub;
    std::map<std::string, std::shared_ptr<AnyHandler>, std::less<>> handlers;
    std::optional<Errc> refuse_with;
    bool trusts_proxies = false;  ///< every peer may send a header of the PROXY protocol
    bool decides_later = false;
    std::vector<UpgradeReply> replies;  ///< of the opening handshakes that wait for a decision
    std::optional<HttpResponse> http_response;
    StreamAdmission admission = StreamAdmission::welcome;
    std::vector<ConnectionEnd> ends;
    std::vector<std::string> events;  ///< as words_of() writes them
    std::function<void(const ConnectionEvent&)> event_listener;
    int admitted = 0;
    int stopped = 0;
    std::vector<AnyReactor*> reactors;
    GroupTable addresses{{}};
    GroupTable users{{}};
    std::string_view proxy = "192.0.2.254:";  ///< peers at this address pass the addresses of clients on

    const std::shared_ptr<Hub>& hub() const noexcept override { return any_hub; }
    OfferDecision choose(OwnedConnection& connection, const Offer& offer) override {
        if (const auto over = connection.join_group(GroupKind::address, offer.request.find("X-Real-IP"))) return *over;
        if (const auto over = connection.join_group(GroupKind::user, offer.request.find("X-User"))) return *over;
        if (refuse_with) return *refuse_with;
        if (decides_later) {
            const auto ticket = std::make_shared<Ticket>(server_hub, connection.id());
            replies.emplace_back(ticket);
            return DecidesLater{ticket};
        }
        for (const auto& name : offer.subprotocols) {
            const auto found = handlers.find(name);
            if (found != handlers.end()) return Acceptance{found->second, found->first};
        }
        return Acceptance{handlers.at(""), {}};
    }
    OfferDecision choose_as(OwnedConnection&, const Offer&, UpgradeDecision&& decision, PendingAcceptance*) override {
        if (!decision) return Refusal{HttpResponse{.status = 500, .fields = {}, .body = decision.error()}};
        if (decision->refusal) return Refusal{*decision->refusal};
        return Acceptance{handlers.at(""), {}, {}, decision->fields};
    }
    std::optional<HttpResponse> answer(const HttpRequest&) override { return http_response; }
    void on_ended(const ConnectionEnd& end) override { ends.push_back(end); }
    void on_event(const ConnectionEvent& event) override {
        events.push_back(words_of(event));
        if (event_listener) event_listener(event);
    }
    StreamAdmission admit() noexcept override {
        if (admission != StreamAdmission::close_at_once && admission != StreamAdmission::close_for_rate) ++admitted;
        return admission;
    }
    void released() noexcept override { --admitted; }
    void released_without_place() noexcept override { --admitted; }
    bool give_up_place() noexcept override { return true; }
    bool admit_refused() noexcept override {
        ++admitted;
        return true;
    }
    GroupTable* groups(GroupKind kind) noexcept override { return kind == GroupKind::address ? &addresses : &users; }
    bool trusts_proxy(std::string_view peer) override { return trusts_proxies || peer.starts_with(proxy); }
    void on_stopped(std::uint16_t) override { ++stopped; }
    MemoryUse memory_use() const noexcept override {
        MemoryUse use;
        use.total = use.broadcasts = waiting_broadcasts()->load();
        for (AnyReactor* reactor : reactors) {
            use.total += reactor->memory().read() + reactor->inbox_bytes();
            use.largest = std::max(use.largest, reactor->largest_holder());
            use.shared += reactor->shared_memory();
        }
        return use;
    }
    void on_memory_short() override {
        for (AnyReactor* reactor : reactors) reactor->look_at_memory();
    }

   private:
    struct Ticket final : detail::UpgradeTicket {
        Ticket(std::shared_ptr<ServerHub> its_hub, ConnectionId its_id) : hub(std::move(its_hub)), id(its_id) {}
        SendStatus answer(UpgradeDecision&& decision) override { return hub->decide(id, std::move(decision)); }

        std::shared_ptr<ServerHub> hub;
        ConnectionId id;
    };
};

/// The request of the opening handshake in RFC 6455 §1.3.
inline std::string upgrade_request(std::string_view extra = {}, std::string_view target = "/chat") {
    return "GET " + std::string{target} +
           " HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n"
           "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n" +
           std::string{extra} + "\r\n";
}

/// A client of the memory network. It uses Protocol<client> for frames. Through wire() a test can write any bytes.
class WireClient {
   public:
    explicit WireClient(MemoryWire wire) : wire_(std::move(wire)) {}

    MemoryWire& wire() noexcept { return wire_; }

    void send(std::string_view text) {
        (void)end_->protocol.send(Text{text}, out_).has_value();
        flush();
    }
    void ping(std::string_view payload) {
        (void)end_->protocol.ping(bytes_of(payload), out_).has_value();
        flush();
    }
    void close(CloseCode code, std::string_view reason = {}) {
        (void)end_->protocol.close(code, reason, out_).has_value();
        flush();
    }

    /// Returns the server's HTTP response. Keeps the bytes after it, which are frames, for read().
    std::string read_response() {
        std::string all = rest_ + wire_.read();
        const auto end = all.find("\r\n\r\n");
        if (end == std::string::npos) return all;
        rest_ = all.substr(end + 4);
        return all.substr(0, end + 4);
    }

    /// Returns the events since the last call, as to_string() writes them. Answers pings and Close frames.
    std::vector<std::string> read() {
        std::string bytes = std::exchange(rest_, {}) + wire_.read();
        std::vector<std::string> events;
        MutableBytes received{reinterpret_cast<std::uint8_t*>(bytes.data()), bytes.size()};
        while (const auto event = end_->protocol.next_event(received, out_)) {
            events.push_back(to_string(*event));
        }
        flush();
        return events;
    }

   private:
    void flush() {
        if (!out_.empty()) wire_.write(std::as_const(out_).bytes());
        out_.clear();
    }

    MemoryWire wire_;
    // Allocated, because the protocol refers to its options and a client may be moved.
    struct End {
        End() { options.keys = &keys; }
        CountingKeys keys;
        ProtocolOptions options;
        Protocol<Role::client> protocol{options};
    };
    std::unique_ptr<End> end_ = std::make_unique<End>();
    OutputBuffer out_;
    std::string rest_;
};

/// Reactors on a network in memory with a RecordingShared. For tests of reactors and connections. For tests of handlers
/// see wsserver/testing.hpp.
class MemoryServer {
   public:
    explicit MemoryServer(const ConnectionOptions& options = {}, std::size_t reactors = 1)
        : MemoryServer(ReactorOptions{.connection = options}, reactors) {}
    explicit MemoryServer(const ReactorOptions& options, std::size_t reactors = 1)
        : reactors_(shared, *shared.server_hub, options, network, place, reactors) {
        for (std::size_t i = 0; i < reactors; ++i) shared.reactors.push_back(&reactors_[i]);
    }

    template <class H>
    void handle(std::string name, H handler) {
        shared.handlers[name] = make_handler(name.empty() ? "default" : name, std::move(handler));
    }

    Reactor<MemoryTransport>& reactor(std::size_t number = 0) noexcept { return reactors_[number]; }
    MemoryTransport& transport(std::size_t number = 0) noexcept { return reactors_[number].transport(); }
    Hub& hub() noexcept { return *shared.server_hub; }
    void run() { network.run_until_idle(); }
    void advance(std::chrono::milliseconds by) { network.advance(by); }

    /// A client that is connected and has sent nothing. `from` is its address.
    WireClient connect(std::string from = {}) { return WireClient{network.wire(place, std::move(from))}; }
    /// A client after the opening handshake.
    WireClient open(std::string_view subprotocol = {}) {
        WireClient client = connect();
        client.wire().write(
            upgrade_request(subprotocol.empty() ? "" : "Sec-WebSocket-Protocol: " + std::string{subprotocol} + "\r\n"));
        run();
        (void)client.read_response();
        return client;
    }

    const Endpoint place{"server", 80, {}};
    MemoryNetwork network;
    RecordingShared shared;

   private:
    MemoryReactors reactors_;
};

}  // namespace wsserver::test
