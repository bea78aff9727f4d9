// A program that uses the protocol alone, both ends of it: the include folder, no library.
#include <wsserver/protocol/protocol.hpp>
#include <wsserver/protocol/src.hpp>

#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

std::size_t size_of_ping();

namespace {

/// A real client takes its keys from a strong source of entropy.
struct Keys final : wsserver::MaskingKeySource {
    wsserver::MaskingKey next_key() noexcept override { return {1, 2, 3, 4}; }
};

/// Passes the bytes in `from` to `to`, which puts what it answers into `answers`. Returns the last text or reason.
template <wsserver::Role role>
std::string receive(wsserver::Protocol<role>& to, wsserver::OutputBuffer& from, wsserver::OutputBuffer& answers) {
    std::string heard;
    wsserver::MutableBytes bytes = from.bytes();
    while (const auto event = to.next_event(bytes, answers)) {
        if (const auto* text = std::get_if<wsserver::Text>(&*event)) {
            heard = text->text;
            if constexpr (role == wsserver::Role::server) (void)to.send(*text, answers);
        }
        if (const auto* close = std::get_if<wsserver::Close>(&*event)) heard = close->reason;
    }
    from.clear();
    return heard;
}

bool talk() {
    Keys keys;
    wsserver::ProtocolOptions options;
    options.keys = &keys;
    wsserver::Protocol<wsserver::Role::client> client{options};
    wsserver::Protocol<wsserver::Role::server> server{options};
    wsserver::OutputBuffer to_server;
    wsserver::OutputBuffer to_client;
    (void)client.send(wsserver::Text{"hello"}, to_server);
    if (receive(server, to_server, to_client) != "hello") return false;
    if (receive(client, to_client, to_server) != "hello") return false;
    (void)client.close(wsserver::CloseCode::normal, "bye", to_server);
    if (receive(server, to_server, to_client) != "bye") return false;
    receive(client, to_client, to_server);
    return client.finished() && server.finished();
}

}  // namespace

int main() {
    const bool done = talk() && size_of_ping() == 2;
    std::puts(done ? "done" : "failed");
    return done ? 0 : 1;
}
