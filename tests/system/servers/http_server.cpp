// A server with what wsd does not have, for tests with foreign clients: routes for plain HTTP requests, a handler that
// takes and sends messages in pieces, and rooms for clients that have logged in. It listens at its argument, and ends
// with its stdin.
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "wsserver/handler/handlers.hpp"
#include "wsserver/handshake/http_values.hpp"
#include "wsserver/server.hpp"

using namespace wsserver;

namespace {

struct Upload {
    HttpUpload body;
    HttpReply reply;
    std::size_t received = 0;
};

void read_on(const std::shared_ptr<Upload>& upload) {
    (void)upload->body.read([upload](HttpPiece&& piece) {
        upload->received += piece.bytes.size();
        if (piece.is_gone) return;
        piece.is_last ? (void)upload->reply({.body = std::to_string(upload->received)}) : read_on(upload);
    });
}

/// Sends each message back while it arrives.
struct Mirror {
    void on_part(AnyConnection& connection, const Part& part) {
        if (part.first && connection.begin_message(part.opcode) != SendStatus::queued) connection.close();
        connection.append(part.bytes);
        if (part.last) connection.end_message();
    }
};

/// Rooms by path.
struct Rooms {
    void on_open(AnyConnection& connection) {
        const auto room = connection.parameter("room").value_or("");
        connection.join(room);
        connection.send("welcome to " + room + ", " + std::string{connection.user()});
    }
    void on_message(AnyConnection& connection, const Text& message) {
        connection.publish(connection.parameter("room").value_or(""),
                           std::string{connection.user()} + ": " + std::string{message.text});
    }
};

/// Lets clients with the cookie of /login into the rooms, and everyone elsewhere.
Admission admit(const UpgradeRequest& request) {
    Admission admission;
    if (!request.path().starts_with("/rooms/")) return admission;
    const auto name = percent_decoded(request.cookie("user").value_or(""));
    if (!name || name->empty()) {
        return Admission::refuse({.status = 401, .fields = {{"WWW-Authenticate", "Cookie"}}, .body = "log in first\n"});
    }
    admission.user = *name;
    admission.fields = {{"X-User", percent_encoded(*name)}};
    return admission;
}

void add_routes(Server& server) {
    server.handle_http("GET", "/", [](const RoutedRequest&) {
        return HttpResponse{.content_type = "text/html; charset=utf-8", .body = "<!doctype html><title>rooms</title>"};
    });
    server.handle_http("POST", "/login", [](const RoutedRequest& request) {
        const auto cookie = set_cookie("user", percent_encoded(request.query("user").value_or("")));
        return HttpResponse{.status = 204, .fields = {{"Set-Cookie", *cookie}}};
    });
    server.handle_http("GET", "/hello", [](const RoutedRequest&) { return HttpResponse{.body = "hello\n"}; });
    server.handle_http("POST", "/echo",
                       [](const RoutedRequest& request) { return HttpResponse{.body = std::string{request.body()}}; },
                       {.runs = Runs::pooled});
    server.handle_http("PUT", "/upload", [](const RoutedRequest&, HttpUpload body, HttpReply reply) {
        read_on(std::make_shared<Upload>(Upload{std::move(body), std::move(reply)}));
    });
    server.handle_http("GET", "/download", [](const RoutedRequest& request, HttpReply reply) {
        const std::size_t size = std::stoul(request.query("bytes").value_or("0"));
        const bool knows = request.query("length").has_value();
        auto stream = reply.stream({}, knows ? std::optional<std::uint64_t>{size} : std::nullopt);
        (void)stream.write(std::string(size, 'd'));
        (void)stream.end();
    });
    server.handle_http("GET", "/events", [](const RoutedRequest&, HttpReply reply) {
        auto stream = reply.stream({.fields = {{"Cache-Control", "no-store"}}, .content_type = "text/event-stream"});
        for (int i = 1; i <= 3; ++i) (void)stream.write("data: " + std::to_string(i) + "\n\n");
        (void)stream.end();
    });
}

}  // namespace

int main(int argc, char** argv) {
    Server server;
    server.handle(make_echo());
    server.handle("mirror", Mirror{});
    server.handle_path("/rooms/{room}", Rooms{});
    server.on_upgrade(admit);
    add_routes(server);
    const auto url = server.listen(argc > 1 ? argv[1] : "127.0.0.1:0");
    if (!url) return std::fprintf(stderr, "%s\n", url.error().c_str()), 1;
    server.start();
    std::printf("listening on %s\n", url->c_str());
    std::fflush(stdout);
    while (std::getchar() != EOF) {
    }
    return server.stop(std::chrono::seconds{1}).complete() ? 0 : 1;
}
