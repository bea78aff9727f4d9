// An echo server on websocketpp for the comparison, on one thread, without locks and without a log.
#include <cstdio>
#include <websocketpp/concurrency/none.hpp>
#include <websocketpp/config/asio_no_tls.hpp>
#include <websocketpp/logger/stub.hpp>
#include <websocketpp/server.hpp>

namespace {

struct Config : websocketpp::config::asio {
    using concurrency_type = websocketpp::concurrency::none;
    using elog_type = websocketpp::log::stub;
    using alog_type = websocketpp::log::stub;
    static constexpr size_t max_message_size = size_t{16} << 20;

    struct transport_config : websocketpp::config::asio::transport_config {
        using concurrency_type = Config::concurrency_type;
        using elog_type = Config::elog_type;
        using alog_type = Config::alog_type;
        static constexpr bool enable_multithreading = false;
    };
    using transport_type = websocketpp::transport::asio::endpoint<transport_config>;
};

using Server = websocketpp::server<Config>;

}  // namespace

int main() {
    Server server;
    server.init_asio();
    server.set_listen_backlog(4096);
    server.set_tcp_post_init_handler([&server](websocketpp::connection_hdl connection) {
        auto& socket = server.get_con_from_hdl(connection)->get_raw_socket();
        boost::system::error_code gone;
        socket.set_option(boost::asio::ip::tcp::no_delay{true}, gone);
    });
    server.set_message_handler([&server](websocketpp::connection_hdl connection, Server::message_ptr message) {
        websocketpp::lib::error_code gone;
        server.send(connection, message->get_payload(), message->get_opcode(), gone);
    });
    server.listen(boost::asio::ip::tcp::endpoint{boost::asio::ip::address_v4::loopback(), 0});
    server.start_accept();
    websocketpp::lib::asio::error_code error;
    std::printf("listening on ws://127.0.0.1:%u\n", static_cast<unsigned>(server.get_local_endpoint(error).port()));
    std::fflush(stdout);
    server.run();
}
