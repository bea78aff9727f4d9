// A handler that blocks (a database, a file, a long calculation) runs on the workers. Meanwhile the reactors answer
// pings and serve all other connections. The messages of one connection stay in order.
#include <algorithm>
#include <cstdint>
#include <iostream>
#include <string>
#include <wsserver/server.hpp>

using namespace wsserver;

struct LargestFactor {
    static constexpr auto runs = Runs::pooled;

    void on_message(AnyConnection& connection, const Text& message) {
        // A message may have any length, so read 18 characters. If they are not all digits, the answer is 0.
        const std::string digits{message.text.substr(0, 18)};
        const bool is_number =
            !digits.empty() && std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; });
        connection.send(Text{std::to_string(is_number ? of(std::stoull(digits)) : 0)});
    }

   private:
    static std::uint64_t of(std::uint64_t number) {
        for (std::uint64_t factor = 2; factor * factor <= number; ++factor) {
            while (number % factor == 0 && number > factor) number /= factor;
        }
        return number;
    }
};

int main(int argc, char** argv) {
    ServerOptions options;
    options.workers = 4;
    Server server{options};
    server.handle(LargestFactor{});
    server.on_log([](LogLevel, std::string_view line) { std::cerr << line << '\n'; });
    const auto url = server.listen(argc > 1 ? argv[1] : "127.0.0.1:8080");
    (url ? std::cout << *url : std::cerr << url.error()) << std::endl;
    if (!url) return 1;
    server.run();
}
