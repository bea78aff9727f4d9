// An echo server on Boost.Beast for the comparison, on one thread and tuned as far as its interface allows: no type
// erasure of executors, no timeouts, no compression, no fragmentation, buffers that are reused.
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket.hpp>
#include <cstdio>
#include <memory>
#include <utility>

namespace {

namespace asio = boost::asio;
namespace websocket = boost::beast::websocket;
using boost::system::error_code;
using Executor = asio::io_context::executor_type;
using Socket = asio::basic_stream_socket<asio::ip::tcp, Executor>;
using Acceptor = asio::basic_socket_acceptor<asio::ip::tcp, Executor>;

class Session : public std::enable_shared_from_this<Session> {
   public:
    explicit Session(Socket&& socket) : stream_(std::move(socket)) {
        stream_.next_layer().set_option(asio::ip::tcp::no_delay{true});
        stream_.set_option(websocket::permessage_deflate{});
        stream_.auto_fragment(false);
        stream_.read_message_max(std::size_t{16} << 20);
    }

    void start() {
        stream_.async_accept([self = shared_from_this()](error_code error) {
            if (!error) self->receive();
        });
    }

   private:
    void receive() {
        stream_.async_read(message_, [self = shared_from_this()](error_code error, std::size_t) {
            if (!error) self->reply();
        });
    }

    void reply() {
        stream_.text(stream_.got_text());
        stream_.async_write(message_.cdata(), [self = shared_from_this()](error_code error, std::size_t) {
            if (error) return;
            self->message_.clear();
            self->receive();
        });
    }

    websocket::stream<Socket, false> stream_;
    boost::beast::flat_buffer message_;
};

void accept_next(Acceptor& acceptor) {
    acceptor.async_accept([&acceptor](error_code error, Socket socket) {
        if (!error) std::make_shared<Session>(std::move(socket))->start();
        accept_next(acceptor);
    });
}

}  // namespace

int main() {
    asio::io_context context{1};  // one thread, so that Asio omits locks
    Acceptor acceptor{context, asio::ip::tcp::endpoint{asio::ip::address_v4::loopback(), 0}};
    std::printf("listening on ws://127.0.0.1:%u\n", static_cast<unsigned>(acceptor.local_endpoint().port()));
    std::fflush(stdout);
    accept_next(acceptor);
    context.run();
}
