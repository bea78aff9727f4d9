// Answers ordinary HTTP requests, too: a page that talks to the handler of the same server, and a health check.
#include <iostream>
#include <optional>
#include <string>
#include <wsserver/server.hpp>

using namespace wsserver;

constexpr auto page = R"(<!doctype html>
<title>echo</title>
<input autofocus><ol></ol>
<script>
const socket = new WebSocket(location.href.replace(/^http/, "ws"));
socket.onmessage = (event) => document.querySelector("ol").append(
    Object.assign(document.createElement("li"), { textContent: event.data }));
document.querySelector("input").onchange = (event) => { socket.send(event.target.value); event.target.value = ""; };
</script>
)";

struct Echo {
    void on_message(AnyConnection& connection, const auto& message) { connection.send(message); }
};

int main(int argc, char** argv) {
    Server server;
    server.handle(Echo{});
    server.on_http([](const HttpRequest& request) -> std::optional<HttpResponse> {
        HttpResponse response;
        if (request.target == "/") {
            response.content_type = "text/html; charset=utf-8";
            response.body = page;
        } else if (request.target == "/healthz") {
            response.body = "ok\n";
        } else {
            return std::nullopt;  // 426 Upgrade Required
        }
        return response;
    });
    const auto url = server.listen(argc > 1 ? argv[1] : "127.0.0.1:8080");
    (url ? std::cout << *url : std::cerr << url.error()) << std::endl;
    if (!url) return 1;
    server.run();
}
