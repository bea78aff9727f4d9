// An echo server on libwebsockets for the comparison, on one thread and its own poll loop.
#include <libwebsockets.h>

#include <cstdio>
#include <deque>
#include <string>
#include <string_view>
#include <utility>

namespace {

/// Space before the payload, into which libwebsockets writes the header.
const std::string header_space(LWS_PRE, '\0');
constexpr std::size_t high_mark = std::size_t{1} << 20;

struct Message {
    std::string bytes = header_space;
    bool binary = false;
};

struct Session {
    Message incoming{};
    std::deque<Message> outgoing{};
    std::size_t waiting = 0;  ///< bytes in `outgoing`
};

void receive(lws* connection, Session& session, std::string_view bytes) {
    session.incoming.bytes += bytes;
    session.incoming.binary = lws_frame_is_binary(connection) != 0;
    if (lws_is_final_fragment(connection) == 0 || lws_remaining_packet_payload(connection) != 0) return;
    session.waiting += session.incoming.bytes.size();
    session.outgoing.push_back(std::exchange(session.incoming, {}));
    if (session.waiting > high_mark) lws_rx_flow_control(connection, 0);
    lws_callback_on_writable(connection);
}

/// False if the connection has failed.
bool send_next(lws* connection, Session& session) {
    if (session.outgoing.empty()) return true;
    Message& message = session.outgoing.front();
    auto* const payload = reinterpret_cast<unsigned char*>(message.bytes.data()) + LWS_PRE;
    const std::size_t size = message.bytes.size() - LWS_PRE;
    const int written = lws_write(connection, payload, size, message.binary ? LWS_WRITE_BINARY : LWS_WRITE_TEXT);
    if (written < static_cast<int>(size)) return false;
    const bool was_over = session.waiting > high_mark;
    session.waiting -= message.bytes.size();
    session.outgoing.pop_front();
    if (was_over && session.waiting <= high_mark) lws_rx_flow_control(connection, 1);
    if (!session.outgoing.empty()) lws_callback_on_writable(connection);
    return true;
}

int react(lws* connection, lws_callback_reasons reason, void* user, void* bytes, std::size_t size) {
    auto* const session = static_cast<Session**>(user);
    switch (reason) {
        case LWS_CALLBACK_ESTABLISHED:
            *session = new Session;
            return 0;
        case LWS_CALLBACK_RECEIVE:
            receive(connection, **session, {static_cast<const char*>(bytes), size});
            return 0;
        case LWS_CALLBACK_SERVER_WRITEABLE:
            return send_next(connection, **session) ? 0 : -1;
        case LWS_CALLBACK_CLOSED:
            delete *session;
            return 0;
        default:
            return 0;
    }
}

}  // namespace

int main() {
    lws_set_log_level(0, nullptr);
    lws_protocols echo{};
    echo.name = "echo";
    echo.callback = react;
    echo.per_session_data_size = sizeof(Session*);
    echo.rx_buffer_size = 64 * 1024;
    const lws_protocols protocols[] = {echo, {}};
    lws_context_creation_info options{};
    options.port = 0;
    options.iface = "127.0.0.1";
    options.protocols = protocols;
    options.pt_serv_buf_size = 64 * 1024;
    options.options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS;
    lws_context* const context = lws_create_context(&options);
    lws_vhost* const host = context != nullptr ? lws_create_vhost(context, &options) : nullptr;
    if (host == nullptr) {
        std::fputs("libwebsockets does not start\n", stderr);
        return 1;
    }
    std::printf("listening on ws://127.0.0.1:%d\n", lws_get_vhost_listen_port(host));
    std::fflush(stdout);
    while (lws_service(context, 0) >= 0) continue;
    lws_context_destroy(context);
}
