// Messages in pieces over real sockets and threads: a client sends a large one, handlers send it back while it arrives.
#include <algorithm>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "support/blocking_client.hpp"
#include "support/catch.hpp"
#include "support/strings.hpp"
#include "wsserver/client.hpp"
#include "wsserver/server.hpp"
#include "wsserver/testing.hpp"

using namespace wsserver;
using namespace std::chrono_literals;
using wsserver::test::BlockingClient;
using wsserver::test::Strings;

namespace {

constexpr std::size_t piece_size = std::size_t{64} << 10;
constexpr std::size_t message_size = std::size_t{48} << 20;

std::vector<TransportKind> transports() {
#if WSSERVER_URING
    return {TransportKind::asio, TransportKind::uring};
#else
    return {TransportKind::asio};
#endif
}

/// Sends back what it receives, as it arrives.
struct Mirror {
    void on_part(AnyConnection& connection, const Part& part) {
        if (part.first && connection.begin_message(part.opcode) != SendStatus::queued) connection.close();
        connection.append(part.bytes);
        if (part.last) connection.end_message();
    }
};
struct PooledMirror : Mirror {
    static constexpr Runs runs = Runs::pooled;
};

/// The byte at a place of the message.
std::uint8_t byte_at(std::size_t place) { return static_cast<std::uint8_t>(place / 1'000); }

/// What a client sends and receives.
struct Transfer {
    std::size_t sent = 0, received = 0, wrong = 0, messages = 0, most_queued = 0;
    bool first_and_last = true;
    std::string after{};
};

/// Sends one message of message_size bytes, and counts what comes back.
struct Uploader {
    Transfer* transfer;

    void on_open(AnyConnection& connection) {
        CHECK(connection.begin_message(Opcode::binary) == SendStatus::queued);
        on_drained(connection);
    }
    void on_drained(AnyConnection& connection) {
        std::vector<std::uint8_t> piece(piece_size);
        while (transfer->sent < message_size && connection.has_space()) {
            for (std::size_t i = 0; i < piece.size(); ++i) piece[i] = byte_at(transfer->sent + i);
            connection.append(piece);
            transfer->sent += piece.size();
            transfer->most_queued = std::max(transfer->most_queued, connection.queued());
            if (transfer->sent == message_size) {
                connection.end_message();
                connection.send("after");
            }
        }
    }
    void on_part(AnyConnection& connection, const Part& part) {
        if (part.opcode == Opcode::text) transfer->after += text_of(part.bytes);
        if (part.opcode == Opcode::text && part.last) connection.close();
        if (part.opcode == Opcode::text) return;
        if (part.first != (transfer->received == 0)) transfer->first_and_last = false;
        for (const auto byte : part.bytes) transfer->wrong += byte == byte_at(transfer->received++) ? 0U : 1U;
        if (part.last && transfer->received != message_size) transfer->first_and_last = false;
        transfer->messages += part.last ? 1U : 0U;
    }
};

ServerOptions options_of(TransportKind transport) {
    ServerOptions options;
    options.io_threads = 1;
    options.workers = 2;
    options.transport = transport;
    options.connection.max_message = message_size;
    return options;
}

}  // namespace

TEST_CASE("48 MiB in one message are sent back while they arrive, inline and pooled", "[message_parts][threads]") {
    for (const TransportKind transport : transports()) {
        for (const std::string name : {"inline", "pooled"}) {
            CAPTURE(static_cast<int>(transport), name);
            Server server{options_of(transport)};
            server.handle("inline", Mirror{});
            server.handle("pooled", PooledMirror{});
            const auto url = server.listen("127.0.0.1:0");
            REQUIRE(url);
            server.start();
            Transfer transfer;
            boost::asio::io_context context{1};
            ClientOptions options;
            options.subprotocols = {name};
            options.connection.max_message = message_size;
            Client client{context, options};
            client.connect(*url, Uploader{&transfer});
            context.run_for(60s);
            CHECK(transfer.sent == message_size);
            CHECK(transfer.received == message_size);
            CHECK(transfer.wrong == 0);
            CHECK(transfer.messages == 1);
            CHECK(transfer.first_and_last);
            CHECK(transfer.after == "after");
            CHECK(transfer.most_queued < (3U << 20));
            CHECK(server.statistics().slow_consumers == 0);
            CHECK(server.stop(5s).complete());
        }
    }
}

namespace {

/// Does what its messages say.
struct PooledScript {
    static constexpr Runs runs = Runs::pooled;
    std::vector<int>* wrong;  ///< lines with another result than expected; to be read when the server has stopped

    void expect(int line, SendStatus status, SendStatus expected) const {
        if (status != expected) wrong->push_back(line);
    }
    void on_message(AnyConnection& c, const Text& message) {
        if (message.text == "whole") {
            expect(__LINE__, c.begin_message(Opcode::text), SendStatus::queued);
            expect(__LINE__, c.begin_message(Opcode::text), SendStatus::refused);
            expect(__LINE__, c.append("a\xc2"), SendStatus::queued);
            expect(__LINE__, c.send("after"), SendStatus::queued);
            expect(__LINE__, c.append(""), SendStatus::queued);
            expect(__LINE__, c.append("\xa9"), SendStatus::queued);
            expect(__LINE__, c.end_message(), SendStatus::queued);
            expect(__LINE__, c.end_message(), SendStatus::refused);
            expect(__LINE__, c.begin_message(Opcode::binary), SendStatus::queued);
            expect(__LINE__, c.end_message(), SendStatus::queued);
        } else if (message.text == "first") {
            expect(__LINE__, c.append("x"), SendStatus::refused);
            expect(__LINE__, c.begin_message(Opcode::text), SendStatus::queued);
            expect(__LINE__, c.append("\xff"), SendStatus::refused);
            expect(__LINE__, c.end_message(), SendStatus::refused);
            expect(__LINE__, c.send("nothing"), SendStatus::queued);
        } else if (message.text == "later") {
            expect(__LINE__, c.begin_message(Opcode::text), SendStatus::queued);
            expect(__LINE__, c.append("a"), SendStatus::queued);
            expect(__LINE__, c.append("\xff"), SendStatus::refused);
            expect(__LINE__, c.append("b"), SendStatus::refused);
        }
    }
};

}  // namespace

TEST_CASE("a pooled handler sends in pieces, and never half a message that looks whole", "[message_parts][threads]") {
    ServerOptions options = options_of(TransportKind::asio);
    std::vector<int> wrong;
    Server server{options};
    server.handle(PooledScript{&wrong});
    const auto url = server.listen("127.0.0.1:0");
    server.start();
    BlockingClient client{*url, ""};
    client.send("whole");
    CHECK(client.next() == "text a\xc2\xa9");
    CHECK(client.next() == "text after");
    CHECK(client.next() == "binary");
    client.send("first");
    CHECK(client.next() == "text nothing");
    client.send("later");
    CHECK(client.next() == "close 1011 a message could not be completed");
    client.hang_up();
    CHECK(server.stop(5s).complete());
    CHECK(wrong.empty());
}

TEST_CASE("a handler in memory takes and sends messages in pieces", "[message_parts]") {
    MemoryServer server;
    server.handle("inline", Mirror{});
    server.handle("pooled", PooledMirror{});
    for (const std::string name : {"inline", "pooled"}) {
        auto client = server.connect("/", {name});
        client.send("hello");
        client.expect("text hello");
        client.send(std::vector<std::uint8_t>(200'000, 1));
        CHECK(client.receive().payload.size() == 200'000);
    }
}

TEST_CASE("a recording connection records pieces", "[message_parts]") {
    RecordingConnection connection;
    Mirror mirror;
    mirror.on_part(connection, {Opcode::text, bytes_of("hel"), true, false});
    mirror.on_part(connection, {Opcode::text, {}, false, true});
    CHECK(connection.calls == Strings{"begin text", "append hel", "append", "end"});
}
