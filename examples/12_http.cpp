// Plain HTTP and WebSocket on one port. Any script can send to the listeners of a channel and look at the counters:
//     curl -d hello http://127.0.0.1:8080/channels/news
//     curl http://127.0.0.1:8080/metrics
#include <iostream>
#include <map>
#include <mutex>
#include <string>
#include <wsserver/server.hpp>

using namespace wsserver;

// Reactors answer requests at the same time, so it is locked.
class LastTexts {
   public:
    void set(const std::string& channel, std::string text) {
        const std::lock_guard lock{mutex_};
        texts_[channel] = std::move(text);
    }
    std::string of(const std::string& channel) {
        const std::lock_guard lock{mutex_};
        const auto found = texts_.find(channel);
        return found == texts_.end() ? std::string{} : found->second;
    }

   private:
    std::mutex mutex_;
    std::map<std::string, std::string> texts_;
};

struct Listener {
    void on_open(AnyConnection& connection) { connection.join(connection.parameter("channel").value_or("")); }
    void on_message(AnyConnection&, const auto&) {}  // without it, a message would close the connection with 1003
};

// In the text format of Prometheus.
std::string metrics_of(const ServerStatistics& statistics) {
    return "connections " + std::to_string(statistics.open) + "\nmessages_out_total " +
           std::to_string(statistics.messages_out) + "\nhttp_answered_total " +
           std::to_string(statistics.http_answered) + '\n';
}

int main(int argc, char** argv) {
    LastTexts texts;
    Server server;
    server.handle_path("/channels/{channel}", Listener{});
    server.handle_http("POST", "/channels/{channel}", [&](const RoutedRequest& request) {
        const auto channel = request.parameter("channel").value_or("");
        const auto status = server.hub()->broadcast({.room = channel}, request.body());
        if (status == SendStatus::refused) return HttpResponse{.status = 400, .body = "this is not UTF-8\n"};
        texts.set(channel, std::string{request.body()});
        return HttpResponse{.status = 202};
    });
    server.handle_http("GET", "/channels/{channel}", [&](const RoutedRequest& request) {
        return HttpResponse{.body = texts.of(request.parameter("channel").value_or(""))};
    });
    server.handle_http("GET", "/metrics",
                       [&](const RoutedRequest&) { return HttpResponse{.body = metrics_of(server.statistics())}; });
    const auto url = server.listen(argc > 1 ? argv[1] : "127.0.0.1:8080");
    (url ? std::cout << *url : std::cerr << url.error()) << std::endl;
    if (!url) return 1;
    server.run();
}
