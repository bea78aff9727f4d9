// Code that must not compile, one CASE each. The compiler must print the library's error text. Case 0 must compile.
#include "wsserver/connection/any_handler.hpp"

using namespace wsserver;

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
#endif

std::shared_ptr<AnyHandler> made() { return make_handler("case", Handler{}); }
