// Broadcasts on its own thread. The destructor joins that thread.
#include <thread>
#include <wsserver/handler.hpp>

namespace {

using namespace wsserver;

class Broadcaster {
   public:
    explicit Broadcaster(const HandlerHost& host) : host_(host) {}
    ~Broadcaster() {
        if (thread_.joinable()) thread_.join();
    }
    void on_open(AnyConnection&) {
        thread_ = std::thread{[host = host_] { host.hub()->broadcast({}, Text{"hello"}, [](std::size_t) {}); }};
    }

   private:
    HandlerHost host_;
    std::thread thread_;
};

}  // namespace

WSSERVER_HANDLER(Broadcaster);
