// Code that must not compile, one CASE each. The compiler must print the library's error text. Case 0 must compile.
#include <chrono>
#include <coroutine>
#include <mutex>
#include <string>
#include <vector>

#include "wsserver/connection/any_handler.hpp"
#if CASE >= 26
#include "wsserver/server.hpp"
#endif

using namespace wsserver;

/// A coroutine.
struct Task {
    struct promise_type {
        Task get_return_object() { return {}; }
        std::suspend_always initial_suspend() noexcept { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        void return_void() {}
        void unhandled_exception() {}
    };
};

#if CASE == 0
struct Handler {
    void on_open(AnyConnection&) {}
    void on_message(AnyConnection&, const Text&) {}
    void on_close(AnyConnection&, const Close&) {}
};
#elif CASE == 1  // the only reaction is misspelt
struct Handler {
    void on_mesage(AnyConnection&, const Text&) {}
};
#elif CASE == 2
struct Handler {
    void on_open() {}
    void on_message(AnyConnection&, const Text&) {}
};
#elif CASE == 3
struct Handler {
    void on_open(AnyConnection&) {}
    void on_message(AnyConnection&, std::string_view) {}
};
#elif CASE == 4
struct Handler {
    void on_message(AnyConnection&, const Text&) {}
    void on_ping(AnyConnection&, const Pong&) {}
};
#elif CASE == 5
struct Handler {
    void on_message(AnyConnection&, const Text&) {}
    void on_pong(AnyConnection&, const Ping&) {}
};
#elif CASE == 6
struct Handler {
    void on_message(AnyConnection&, const Text&) {}
    void on_close(AnyConnection&, CloseCode, std::string_view) {}
};
#elif CASE == 7
struct Handler {
    void on_message(AnyConnection&, const Text&) {}
    bool on_command(std::span<const std::string>, Bytes) { return true; }
};
#elif CASE == 8   // a private reaction
struct Handler {
    void on_message(AnyConnection&, const Text&) {}

   private:
    void on_open(AnyConnection&) {}
};
#elif CASE == 9   // a visitor without Pong
struct Handler {
    void on_message(AnyConnection&, const Message& message) {
        std::visit(overloaded{[](const Text&) {}, [](const Binary&) {}, [](const Close&) {}, [](const Ping&) {}},
                   message);
    }
};
#elif CASE == 10  // a continuation has no message type
struct Handler {
    void on_message(AnyConnection&, const Text&) {}
    MessageType<Opcode::continuation>::type last;
};
#elif CASE == 11  // a coroutine, which no one would resume
struct Handler {
    Task on_message(AnyConnection& connection, const Text& message) {
        connection.send(message);
        co_return;
    }
};
#elif CASE == 12  // a result that no one would look at
struct Handler {
    bool on_open(AnyConnection&) { return true; }
};
#elif CASE == 13  // the other message is misspelt
struct Handler {
    void on_message(AnyConnection&, const Text&) {}
    void on_message(AnyConnection&, std::vector<std::uint8_t>) {}
};
#elif CASE == 14
struct Handler {
    void on_message(AnyConnection&, std::string) {}
    void on_message(AnyConnection&, const Binary&) {}
};
#elif CASE == 15  // a misspelt reaction of a shared handler
struct Handler {
    void on_message(AnyConnection&, const Text&) {}
    void on_close(AnyConnection&) {}
};
#elif CASE == 16  // Binary has a result
struct Handler {
    void on_message(AnyConnection&, const Text&) {}
    SendStatus on_message(AnyConnection& connection, const Binary& message) { return connection.send(message); }
};
#elif CASE == 17  // not a message
struct Handler {
    void on_open(AnyConnection& connection) { connection.send(5); }
};
#elif CASE == 18
struct Handler {
    void on_open(AnyConnection&) {}
    bool on_upgrade(const UpgradeRequest&) { return true; }
};
#elif CASE == 19  // a message is not what on_drained gets
struct Handler {
    void on_message(AnyConnection&, const Text&) {}
    void on_drained(AnyConnection&, std::size_t) {}
};
#elif CASE == 20
struct Handler {
    void on_message(AnyConnection&, const Text&) {}
    bool on_drained(AnyConnection&) { return true; }
};
#elif CASE == 21
struct Handler {
    void on_part(AnyConnection&, Bytes, bool) {}
    void on_close(AnyConnection&, const Close&) {}
};
#elif CASE == 22  // which of the two would a message get?
struct Handler {
    void on_message(AnyConnection&, const Text&) {}
    void on_part(AnyConnection&, const Part&) {}
};
#elif CASE == 23
struct Handler {
    bool on_part(AnyConnection&, const Part&) { return true; }
};
#elif CASE == 24
struct Handler {
    void on_message(AnyConnection&, const Text&) {}
    std::mutex mutex;
};
#elif CASE == 25  // the same as a call
struct Handler {
    void on_open(AnyConnection& connection) {
        connection.after(std::chrono::seconds{1}, [](AnyConnection&) -> Task { co_return; });
    }
};
#elif CASE == 26  // the same as a function that answers later
struct Handler {
    void on_open(AnyConnection&) {}
};
void decide(Server& server) {
    server.on_upgrade([](const UpgradeRequest&, UpgradeReply) -> Task { co_return; });
}
#elif CASE == 27  // the same as a listener
struct Handler {
    void on_open(AnyConnection&) {}
};
void listen_to(Server& server) {
    server.on_end([](const ConnectionEnd&) -> Task { co_return; });
}
#endif

#if CASE == 15
std::shared_ptr<AnyHandler> made() { return make_handler("case", std::make_shared<Handler>()); }
#else
std::shared_ptr<AnyHandler> made() { return make_handler("case", Handler{}); }
#endif
