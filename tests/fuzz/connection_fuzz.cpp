// Connections of a server on the network in memory. Clients write any bytes and almost valid requests and frames, cut
// anywhere; streams fail, end and stall; time passes. Each connection opens at most once and closes as often, nothing
// happens to it afterwards, and a client with the role of RFC 6455 accepts everything that the server sends.
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fuzz_input.hpp"
#include "support/memory_server.hpp"

using namespace wsserver;
using fuzz::FuzzInput;
using fuzz::require;
using namespace std::chrono_literals;

namespace {

/// Which reactions were called for each connection.
class Witness {
   public:
    void opened(ConnectionId id) { require(open_.emplace(id, true).second, "a connection opens once"); }
    void event(ConnectionId id) const {
        const auto found = open_.find(id);
        require(found != open_.end() && found->second, "an event is after on_open and before on_close");
    }
    void closed(ConnectionId id) {
        event(id);
        open_[id] = false;
    }
    void require_all_closed() const {
        for (const auto& [id, open] : open_) require(!open, "on_close is called for each on_open");
    }
    std::size_t count() const { return open_.size(); }

   private:
    std::map<ConnectionId, bool> open_;
};

/// Does what the first character of a text says. Echoes other messages.
struct Reactions {
    std::shared_ptr<Witness> witness;

    void on_open(AnyConnection& c) { witness->opened(c.id()); }
    void on_message(AnyConnection& c, const Text& m) {
        witness->event(c.id());
        const auto what = m.text.empty() ? ' ' : m.text.front();
        if (what == 't') throw std::runtime_error{"thrown by the handler"};
        if (what == 'c') return void(c.close(CloseCode::normal, "asked to"));
        if (what == 'p') c.ping(bytes_of("are you there"));
        if (what == 'b') c.hub()->broadcast({}, Text{"to all"});
        if (what == 'l') c.send(Text{std::string(70'000, 'l')});
        c.send(m);
    }
    void on_message(AnyConnection& c, const Binary& m) {
        witness->event(c.id());
        c.send(m);
    }
    void on_ping(AnyConnection& c, const Ping&) { witness->event(c.id()); }
    void on_pong(AnyConnection& c, const Pong&) { witness->event(c.id()); }
    void on_close(AnyConnection& c, const Close& m) {
        witness->closed(c.id());
        require(c.send(Text{"late"}) == SendStatus::closed, "nothing is sent after on_close");
        require(m.code == CloseCode::no_status || m.code == CloseCode::abnormal || may_be_sent(m.code),
                "a close code is valid");
    }
};

/// The end of a client: what it was sent, checked at the end.
class Peer {
   public:
    explicit Peer(MemoryWire wire) : wire_(std::move(wire)) {}

    MemoryWire& wire() { return wire_; }
    bool may_write() const { return may_write_; }
    void write(Bytes bytes) {
        if (may_write_) wire_.write(bytes);
    }
    void read(std::size_t at_most) { received_ += wire_.read(at_most); }
    void shutdown() {
        may_write_ = false;
        wire_.shutdown();
    }
    void close(bool reset) {
        read(std::string::npos);
        may_write_ = false;
        reset ? wire_.reset() : wire_.close();
    }

    /// The response, if it is complete, is HTTP. After 101, frames follow, of which the last may be cut.
    void check_received() const {
        require(received_.empty() || std::string_view{"HTTP/1.1 "}.starts_with(received_.substr(0, 9)), "HTTP is sent");
        const auto end = received_.find("\r\n\r\n");
        if (end == std::string::npos) return;
        if (!received_.starts_with("HTTP/1.1 101 ")) {
            require(received_.find("\r\nConnection: close") < end, "a refusal closes the connection");
            return;
        }
        test::CountingKeys keys;
        ProtocolOptions options;
        options.keys = &keys;
        options.max_fragments = 1'000'000;
        Protocol<Role::client> client{options};
        OutputBuffer replies;
        const fuzz::ExactCopy frames{bytes_of(std::string_view{received_}.substr(end + 4))};
        MutableBytes rest = frames.bytes();
        while (const auto event = client.next_event(rest, replies)) {
            require(!std::holds_alternative<Failed>(*event), "the server's frames break no rule");
            if (std::holds_alternative<Close>(*event)) return check_after_close(rest);
        }
    }

   private:
    /// RFC 6455 §5.5.2: until the peer's Close is received, its Pings are answered.
    static void check_after_close(Bytes rest) {
        while (!rest.empty()) {
            const auto result = decode_header(rest);
            if (std::holds_alternative<NeedMore>(result)) return;
            const auto* header = std::get_if<FrameHeader>(&result);
            require(header != nullptr && header->opcode == Opcode::pong, "only a Pong follows a Close frame");
            rest = rest.subspan(std::min(rest.size(), header->size + static_cast<std::size_t>(header->payload_length)));
        }
    }

    MemoryWire wire_;
    bool may_write_ = true;
    std::string received_;
};

/// A frame that may break a rule: any first byte, mostly masked, a payload of any length.
std::string frame_from(FuzzInput& input) {
    static constexpr std::uint8_t firsts[] = {0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8a,
                                              0x88, 0x81, 0x81, 0x82, 0x89, 0x80, 0x88, 0x81};
    static constexpr std::string_view texts[] = {"close",
                                                 "throw",
                                                 "ping",
                                                 "broadcast",
                                                 "large",
                                                 "echo",
                                                 "",
                                                 "\x03\xe8",
                                                 "\x03\xed",
                                                 "\x03\xe8"
                                                 "bye",
                                                 "\xe2\x82",
                                                 "\xac",
                                                 "\xff"};
    const auto kind = input.byte();
    std::string payload{texts[input.byte() % std::size(texts)]};
    if (kind >= 0xF0) payload += text_of(input.take(input.byte()));
    if (kind >= 0xFC) payload.append(input.below(3000), 'z');
    FrameHeader header;
    header.opcode = Opcode::binary;
    if (kind != 0xEF) header.masking_key = MaskingKey{kind, 2, 3, 4};
    header.payload_length = payload.size();
    OutputBuffer output;
    append_frame(output, header, bytes_of(payload));
    output.bytes()[0] = kind == 0xEE ? input.byte() : firsts[kind % std::size(firsts)];
    return std::string{text_of(std::as_const(output).bytes())};
}

ReactorOptions options_from(FuzzInput& input) {
    ReactorOptions given;
    ConnectionOptions& options = given.connection;
    const auto choice = input.byte();
    options.handshake.max_header = choice & 1 ? 300 : 16'384;
    options.max_message = choice & 2 ? 1000 : 1'000'000;
    options.max_fragments = choice & 4 ? 4 : 1000;
    if (choice & 8) options.send_queue.high_mark = 500;
    if (choice & 16) options.send_queue.hard_limit = 2000;
    options.send_queue.policy = static_cast<SlowConsumer>(choice >> 5 & 3);
    given.server_name = "fuzzed";
    return given;
}

class Play {
   public:
    explicit Play(FuzzInput& input) : input_(input), server_(options_from(input)) {
        server_.handle("", Reactions{witness_});
        server_.handle("chat", Reactions{witness_});
    }

    void run() {
        connect();
        while (!input_.empty()) step();
        finish();
    }

   private:
    void connect() {
        if (peers_.size() >= 4) return;
        peers_.emplace_back(server_.network.wire(server_.place));
        ++connects_;
    }

    Peer& peer() { return peers_[input_.byte() % peers_.size()]; }

    void step() {
        switch (input_.byte() % 24) {
            case 0:
                return connect();
            case 1:
            case 2:
                return peer().write(bytes_of(test::upgrade_request()));
            case 3:
                return peer().write(bytes_of(test::upgrade_request("Sec-WebSocket-Protocol: other, chat\r\n")));
            case 4:
                return peer().write(bytes_of("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
            case 5:
                return peer().write(input_.take(input_.byte()));
            case 6:
            case 7:
            case 8:
            case 9:
                return peer().write(bytes_of(frame_from(input_)));
            case 10:
                return write_in_two();
            case 11:
            case 12:
                return server_.run();
            case 13:
                server_.network.run_until_idle(1 + input_.byte() % 8);
                return;
            case 14:
                return server_.advance(std::chrono::milliseconds{input_.below(30'000)});
            case 15:
                return server_.network.stand_still(std::chrono::milliseconds{input_.below(10'000)});
            case 16:
                return peer().read(1 + input_.below(2000));
            case 17:
                return peer().wire().set_window(input_.below(3000));
            case 18:
                return end_one();
            case 19:
                return change_transport();
            case 20:
                return fail();
            default:
                return command();
        }
    }

    void write_in_two() {
        const auto frame = frame_from(input_);
        const auto cut = input_.below(frame.size() + 1);
        auto& to = peer();
        to.write(bytes_of(frame).first(cut));
        server_.run();
        to.write(bytes_of(frame).subspan(cut));
    }

    void end_one() {
        auto& one = peer();
        if (!one.may_write()) return;
        const auto how = input_.byte() % 3;
        how == 0 ? one.shutdown() : one.close(how == 1);
    }

    void change_transport() {
        auto& transport = server_.transport();
        const auto choice = input_.byte() % 4;
        if (choice == 0) transport.receive_at_most(1 + input_.below(60));
        if (choice == 1) transport.send_at_most(1 + input_.below(300));
        if (choice == 2) transport.hold_sends();
        if (choice == 3) transport.release_sends();
    }

    void fail() {
        const auto operation = input_.flag() ? MemoryOperation::receive : MemoryOperation::send;
        const auto error = std::make_error_code(input_.flag() ? std::errc::connection_reset : std::errc::timed_out);
        server_.transport().fail(operation, 1 + input_.byte() % 4, error);
    }

    void command() {
        Hub& hub = server_.hub();
        const ConnectionId id{0, input_.byte() % 4u, 1 + input_.byte() % 2u};
        switch (input_.byte() % 6) {
            case 0:
                return void(hub.send(id, Text{"from outside"}));
            case 1:
                return void(hub.close(id, static_cast<CloseCode>(1000 + input_.byte() % 16), "from outside"));
            case 2:
                return void(hub.broadcast({}, Binary{bytes_of("to all")}));
            case 3:
                return hub.ping_all();
            case 4:
                return void(hub.ping(id, bytes_of("from outside")));
            default:
                return hub.close_all(CloseCode::going_away, "all");
        }
    }

    /// All clients read everything and leave. After the longest timeout no connection is left.
    void finish() {
        server_.transport().release_sends();
        for (auto& one : peers_) {
            one.wire().set_window(std::string::npos);
            server_.run();
            one.read(std::string::npos);
        }
        if (input_.flag()) server_.advance(120s);
        for (auto& one : peers_) {
            if (one.may_write()) one.close(false);
        }
        server_.advance(120s);
        witness_->require_all_closed();
        require(server_.shared.ends.size() == connects_, "each connection ends once");
        require(server_.shared.admitted == 0, "each connection is released");
        require(witness_->count() <= connects_, "a connection opens at most once");
        for (const auto& one : peers_) one.check_received();
    }

    FuzzInput& input_;
    std::shared_ptr<Witness> witness_ = std::make_shared<Witness>();
    test::MemoryServer server_;
    std::deque<Peer> peers_;
    std::size_t connects_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    FuzzInput input{{data, size}};
    Play{input}.run();
    return 0;
}
