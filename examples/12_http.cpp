// Plain HTTP and WebSocket on one port. Any script can send to the listeners of a channel and look at the counters:
//     curl -d hello http://127.0.0.1:8080/channels/news
//     curl http://127.0.0.1:8080/metrics
#include <cstddef>
#include <iostream>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <wsserver/server.hpp>

using namespace wsserver;

// The last text of each channel. Reactors answer requests at the same time, so it is locked; listeners get the texts in
// the order in which they are kept.
class Channels {
   public:
    HttpResponse publish(Hub& hub, const std::string& channel, std::string_view text) {
        constexpr std::size_t most = 1000;  // without a limit, a client could fill the memory
        const std::lock_guard lock{mutex_};
        if (texts_.size() == most && !texts_.contains(channel)) return {.status = 507, .body = "too many channels\n"};
        const auto status = hub.broadcast({.room = channel}, text);
        if (status == SendStatus::refused) return {.status = 400, .body = "this is not UTF-8\n"};
        texts_[channel] = text;
        return {.status = 202};
    }
    std::string last_text_of(const std::string& channel) {
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
    Channels channels;
    Server server;
    server.handle_path("/channels/{channel}", Listener{});
    server.handle_http("POST", "/channels/{channel}", [&](const RoutedRequest& request) {
        return channels.publish(*server.hub(), request.parameter("channel").value_or(""), request.body());
    });
    server.handle_http("GET", "/channels/{channel}", [&](const RoutedRequest& request) {
        return HttpResponse{.body = channels.last_text_of(request.parameter("channel").value_or(""))};
    });
    server.handle_http("GET", "/metrics",
                       [&](const RoutedRequest&) { return HttpResponse{.body = metrics_of(server.statistics())}; });
    const auto url = server.listen(argc > 1 ? argv[1] : "127.0.0.1:8080");
    (url ? std::cout << *url : std::cerr << url.error()) << std::endl;
    if (!url) return 1;
    server.run();
}
