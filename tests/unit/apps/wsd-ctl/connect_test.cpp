#include "wsd-ctl/connect/connect.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <functional>
#include <sstream>

#include "support/catch.hpp"
#include "support/fake_target.hpp"
#include "support/folder.hpp"
#include "support/strings.hpp"
#include "wsd-ctl/run.hpp"
#include "wsserver/base/descriptor.hpp"
#include "wsserver/handler/handlers.hpp"
#include "wsserver/server.hpp"

using namespace wsserver::test;
using wsserver::AnyConnection;
namespace {

struct Ended {
    int code = -1;
    std::string out;
    std::string err;
};

Ended run(Strings words, int in) {
    std::ostringstream out, err;
    words.insert(words.begin(), "connect");
    const int code = wsd::ctl::run_command_line(words, {"wsd-ctl", out, err, in, false, false});
    return {code, out.str(), err.str()};
}

/// With `input` as its standard input.
Ended run(const Strings& words, std::string_view input = {}) {
    const TemporaryFolder folder;
    write_to(folder / "input", input);
    const wsserver::Descriptor in{::open((folder / "input").c_str(), O_RDONLY | O_CLOEXEC)};
    return run(words, in.get());
}

void check(const Ended& ended, int code, std::string_view out, const Strings& said = {}) {
    CAPTURE(ended.err);
    CHECK(ended.code == code);
    CHECK(ended.out == out);
    for (const auto& part : said) {
        CAPTURE(part);
        CHECK(has(ended.err, part));
    }
}

/// Sends what the client asked for, then closes as the path says: `/4001?reason`.
struct Closer {
    void on_open(AnyConnection& connection) {
        connection.send(wsserver::Text{"bye"});
        const std::string target{connection.target()};
        const auto question = target.find('?');
        const auto code = static_cast<wsserver::CloseCode>(std::stoi(target.substr(1, question - 1)));
        connection.close(code, question == std::string::npos ? "" : target.substr(question + 1));
    }
};

struct Sender {
    void on_open(AnyConnection& connection) {
        connection.send(wsserver::Text{"two\nlines \x1B[31m"});
        connection.send(wsserver::Binary{wsserver::bytes_of(std::string_view{"\0\xFFz", 3})});
    }
    void on_message(AnyConnection&, const wsserver::Text&) {}
};

/// Pings at once, with text and without.
struct Pinger {
    void on_open(AnyConnection& connection) {
        connection.ping(wsserver::bytes_of("hey"));
        connection.ping(wsserver::bytes_of("\xFF"));
        connection.send(wsserver::Text{"pinged"});
    }
    void on_message(AnyConnection&, const wsserver::Text&) {}
};

struct House {
    wsserver::Server server;
    std::string url;
    explicit House(std::function<void(const wsserver::ConnectionEnd&)> on_end = {}) : server(options()) {
        if (on_end) server.on_end(std::move(on_end));
        server.handle("", wsserver::make_echo());
        server.handle("closer", Closer{});
        server.handle("sender", Sender{});
        server.handle("pinger", Pinger{});
        const auto listening = server.listen("127.0.0.1:0");
        if (!listening) FAIL(listening.error());
        url = *listening;
        server.start();
    }
    static wsserver::ServerOptions options() {
        wsserver::ServerOptions options;
        options.io_threads = 1;
        return options;
    }
};

/// Cannot be flushed from flush number `number` on.
class FullBuffer final : public std::stringbuf {
   public:
    explicit FullBuffer(int number) : left_(number - 1) {}
    bool is_full() const { return left_ < 0; }

   private:
    int sync() override { return --left_ < 0 ? -1 : 0; }

    int left_;
};

constexpr std::string_view output_lost =
    R"({"error":"failed","text":"standard output cannot be written, so the output is lost"})"
    "\n";

/// connect --json to `house`, with `out` as its standard output.
Ended run_into(std::ostream& out, const House& house, Strings words, std::string_view input) {
    const TemporaryFolder folder;
    write_to(folder / "input", input);
    const wsserver::Descriptor in{::open((folder / "input").c_str(), O_RDONLY | O_CLOEXEC)};
    std::ostringstream err;
    words.insert(words.begin(), {"connect", "--json", house.url});
    return {wsd::ctl::run_command_line(words, {"wsd-ctl", out, err, in.get(), false, false}), "", err.str()};
}

/// The lines, with 0 for each time.
Strings json_lines(const std::string& out) {
    Strings lines;
    std::istringstream stream{out};
    for (std::string line; std::getline(stream, line);) {
        constexpr std::string_view mark = "_ms\":";
        for (std::size_t at = 0; (at = line.find(mark, at)) != std::string::npos;) {
            at += mark.size();
            line.replace(at, line.find_first_not_of("0123456789.", at) - at, "0");
        }
        lines.push_back(line);
    }
    return lines;
}

}  // namespace

TEST_CASE("lines are sent as messages, and messages printed as lines", "[connect]") {
    const House house;
    check(run({house.url, "--count", "3"}, "one\nzw\xC3\xB6lf\n\n"), 0, "one\nzw\xC3\xB6lf\n\n", {"closed: 1000"});
    check(run({house.url, "--count", "1"}, "without newline"), 0, "without newline\n");
    check(run({house.url, "--wait", "0"}, ""), 0, "", {"closed: 1000"});
    const std::string longest(300'000, 'x');
    check(run({"--count=1", house.url}, longest + '\n'), 0, longest + '\n');
}

TEST_CASE("output that cannot be written is an error", "[connect]") {
    const House house;
    std::ostream out{nullptr};
    std::ostringstream err;
    const wsserver::Descriptor in{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
    const Strings words{"connect", house.url, "--text", "a", "--text", "b", "--count", "2"};
    const int code = wsd::ctl::run_command_line(words, {"wsd-ctl", out, err, in.get(), false, false});
    check({code, "", err.str()}, 1, "", {"standard output cannot be written", "closed: 1001"});
}

TEST_CASE("an event that cannot be written ends connect with an error, whichever it is", "[connect]") {
    const House house;
    const Strings words =
        GENERATE_COPY(Strings{"--subprotocol", "pinger", "--count", "1", "--wait", "forever"},
                      Strings{"--subprotocol", "sender", "--count", "2", "--wait", "forever"}, Strings{"--slash"});
    int code = 1;
    int number = 1;
    for (; code != 0; ++number) {
        CAPTURE(number);
        FullBuffer buffer{number};
        std::ostream out{&buffer};
        const auto ended = run_into(out, house, words, "/ping\n");
        code = ended.code;
        CHECK(code == (buffer.is_full() ? 1 : 0));
        CHECK(ended.err == (buffer.is_full() ? output_lost : ""));
        REQUIRE(number < 20);
    }
    CHECK(number > 4);  // open, at least one more, close, and the run without an error
}

TEST_CASE("connect ends with an error on a full disk and on a pipe that nothing reads", "[connect]") {
    const House house;
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    const wsserver::Descriptor writes{ends[1]};
    std::ofstream pipe{"/proc/self/fd/" + std::to_string(writes.get())};
    wsserver::Descriptor{ends[0]}.reset();
    std::ofstream full{"/dev/full"};
    std::ostream& out = GENERATE(true, false) ? full : pipe;
    REQUIRE(out);
    const auto ended = run_into(out, house, {"--wait", "forever"}, "");
    CHECK(ended.code == 1);
    CHECK(ended.err == output_lost);
}

TEST_CASE("a refusal that cannot be written is still a refusal", "[connect]") {
    const House house;
    std::ofstream full{"/dev/full"};
    const auto ended = run_into(full, house, {"--origin", "https://evil.example"}, "");
    CHECK(ended.code == 4);
    CHECK(has(ended.err, output_lost));
    CHECK(has(ended.err, R"({"error":"handshake-refused")"));
}

TEST_CASE("a long input is sent as fast as the server accepts it", "[connect]") {
    const House house;
    std::string many;
    for (int i = 0; i < 100'000; ++i) many += std::to_string(i) + '\n';
    const auto ended = run({house.url, "--count", "100000"}, many);
    CHECK(ended.code == 0);
    CHECK(ended.out == many);
}

TEST_CASE("connect works over a Unix socket", "[connect]") {
    TemporaryFolder folder;
    wsserver::Server server{House::options()};
    server.handle("", wsserver::make_echo());
    REQUIRE(server.listen("unix:" + (folder / "socket")));
    server.start();
    check(run({"ws+unix:" + (folder / "socket") + ":/x", "--count", "1"}, "hi\n"), 0, "hi\n");
}

TEST_CASE("--text is sent instead of standard input", "[connect]") {
    const House house;
    check(run({house.url, "--text", "/a", "--text=--b", "--count", "2"}, "not read\n"), 0, "/a\n--b\n");
}

TEST_CASE("a file is sent as one message", "[connect]") {
    const House house;
    const TemporaryFolder folder;
    const std::string bytes{"/a\n\xFF\0/close\r\n", 13};
    write_to(folder / "bytes", bytes);
    write_to(folder / "text", "{\n  \"a\": 1\n}\n");
    const auto binary = "@" + (folder / "bytes");
    check(run({"--binary", binary, house.url, "--count", "1"}, "not read"), 0, bytes);
    check(run({house.url, "--binary=" + binary, "--binary", binary, "--count", "2"}), 0, bytes + bytes);
    check(run({house.url, "--text", "@" + (folder / "text"), "--text", "@@bob", "--count", "2"}), 0,
          "{\n  \"a\": 1\n}\n\n@bob\n");
    check(run({house.url, "--text", "@-", "--count", "1"}, "two\nlines\n"), 0, "two\nlines\n\n");
    check(run({house.url, "--text", "@/no/such/file"}), 1, "", {"/no/such/file cannot be read"});
    check(run({house.url, "--text", binary, "--wait", "0"}), 1, "", {"not UTF-8", "--binary"});
}

TEST_CASE("all of standard input is one message with --whole, and if it is binary", "[connect]") {
    const House house;
    const std::string bytes{"/a\n\xFF\0/close\n", 12};
    check(run({house.url, "--whole", "--count", "1"}, "two\n/lines\n"), 0, "two\n/lines\n\n");
    check(run({house.url, "--binary", "--count", "1"}, bytes), 0, bytes);
    check(run({house.url, "--binary", "--wait", "0"}, ""), 0, "", {"closed: 1000"});
}

TEST_CASE("a delimiter ends the messages of standard input", "[connect]") {
    const House house;
    check(run({house.url, "--delimiter", ";", "--count", "2"}, "a\n;b;"), 0, "a\n\nb\n");
    check(run({house.url, "--binary", "--delimiter", "\\n", "--count", "2"}, "a\n\xFF\n"), 0, "a\n\xFF\n");
    check(run({house.url, "--delimiter", "\\0", "--count", "2"}, std::string_view{"a\0b", 3}), 0, "a\nb\n");
    check(run({house.url, "--delimiter", "ab"}), 2, "", {"--delimiter ab"});
    check(run({house.url, "--delimiter", ";", "--whole"}), 2, "", {"--whole and --delimiter"});
    check(run({house.url, "--text", "a", "--slash"}), 2, "", {"--slash", "standard input"});
}

TEST_CASE("the end waits until the server has read everything", "[connect]") {
    const House house;
    const std::string much(5'000'000, 'x');
    const auto ended = run({house.url, "-v", "--wait", "0", "--whole"}, much);
    CHECK(ended.code == 0);
    // The Pong to the Ping after the message proves it.
    const auto pong = ended.err.find(" < pong, FIN, 18 bytes");
    REQUIRE(pong != std::string::npos);
    CHECK(pong < ended.err.find(" > close"));
    CHECK(ended.err.find(" > ping, FIN, masked, 18 bytes") < pong);
    CHECK(house.server.statistics().messages_in == 1);
    CHECK_FALSE(has(ended.err, "pong after"));
}

TEST_CASE("a subprotocol that the server does not choose is a warning", "[connect]") {
    const House house;
    check(run({house.url, "--subprotocol", "chatt", "--text", "a", "--count", "1"}), 0, "a\n",
          {"warning", "none of the subprotocols chatt", "browser"});
    CHECK_FALSE(
        has(run({house.url, "--subprotocol", "chatt", "--subprotocol", "sender", "--count", "1"}).err, "warning"));
}

TEST_CASE("--binary works in both directions", "[connect]") {
    const House house;
    check(run({house.url, "--binary", "--count", "1"}, "caf\xE9\n"), 0, "caf\xE9\n");
    check(run({house.url, "--subprotocol", "sender", "--count", "2"}), 0, "two\nlines \x1B[31m\n00ff7a\n");
    check(run({house.url, "--wait", "0"}, "caf\xE9\n"), 1, "", {"not UTF-8", "--binary"});
}

namespace {

/// On a terminal, with nothing on standard input.
Ended run_on_terminal(Strings words) {
    std::ostringstream out, err;
    words.insert(words.begin(), "connect");
    const int code = wsd::ctl::run_command_line(words, {"wsd-ctl", out, err, 0, false, true});
    return {code, out.str(), err.str()};
}

}  // namespace

TEST_CASE("on a terminal a text is one escaped line, and a binary message is a hex dump", "[connect]") {
    const House house;
    const std::string dump =
        "binary, 3 bytes\n"
        "00000000  00 ff 7a                                          |..z|\n";
    check(run_on_terminal({"--subprotocol", "sender", "--count", "2", house.url, "--text", "x"}), 0,
          "two\\nlines \\x1b[31m\n" + dump);
    check(run_on_terminal({"--subprotocol", "sender", "--count", "2", house.url, "--text", "x", "--binary"}), 0,
          "two\\nlines \\x1b[31m\n" + dump);
}

TEST_CASE("on a terminal a long binary message is cut, unless with --hex", "[connect]") {
    const House house;
    const TemporaryFolder folder;
    write_to(folder / "bytes", std::string(3000, 'x'));
    const Strings words{house.url, "--binary", "@" + (folder / "bytes"), "--count", "1"};
    const auto cut = run_on_terminal(words);
    CHECK(cut.out.starts_with("binary, 3000 bytes\n00000000  78 78 "));
    CHECK(has(cut.out, "\n000003f0  78 78 "));
    CHECK(cut.out.ends_with("|xxxxxxxxxxxxxxxx|\n... 1976 more bytes: --hex shows all\n"));
    auto all = words;
    all.emplace_back("--hex");
    CHECK(run_on_terminal(all).out.ends_with(
        "\n00000bb0  78 78 78 78 78 78 78 78                           |xxxxxxxx|\n"));
}

TEST_CASE("--hex shows each message as a hex dump", "[connect]") {
    const House house;
    check(run({house.url, "--hex", "--text", "h\n", "--text", "", "--count", "2"}), 0,
          "text, 2 bytes\n"
          "00000000  68 0a                                             |h.|\n"
          "text, 0 bytes\n");
    check(run({house.url, "--hex", "--json"}), 2, "", {"--hex and --json"});
}

TEST_CASE("with --json each event is one object a line", "[connect]") {
    const House house;
    const auto ended = run({house.url, "--json", "--count", "1"}, "say \"hi\"\n");
    check(ended, 0, ended.out);
    CHECK(ended.err.empty());
    const auto lines = json_lines(ended.out);
    REQUIRE(lines.size() == 3);
    const auto address = house.url.substr(std::string_view{"ws://"}.size());
    CHECK(lines[0].starts_with(R"({"event":"open","time_ms":0,"peer":")" + address +
                               R"(","subprotocol":"","headers":[)"));
    CHECK(has(lines[0], R"({"name":"Upgrade","value":"websocket"})"));
    CHECK(lines[1] == R"({"event":"message","time_ms":0,"type":"text","text":"say \"hi\""})");
    CHECK(lines[2] == R"({"event":"close","time_ms":0,"code":1000,"reason":"","cause":""})");

    const auto whole = json_lines(run({house.url, "--json", "--binary", "--whole", "--count", "1"}, "a\n\xFF").out);
    REQUIRE(whole.size() == 3);
    CHECK(whole[1] == R"({"event":"message","time_ms":0,"type":"binary","base64":"YQr/"})");
}

TEST_CASE("with --json text is escaped, and the subprotocol, pings, pongs and the end are told", "[connect]") {
    const House house;
    const auto sent = json_lines(run({"--json", house.url, "--subprotocol", "sender", "--count", "2"}).out);
    REQUIRE(sent.size() == 4);
    CHECK(has(sent[0], R"("subprotocol":"sender")"));
    CHECK(sent[1] == R"({"event":"message","time_ms":0,"type":"text","text":"two\nlines \u001b[31m"})");
    CHECK(sent[2] == R"({"event":"message","time_ms":0,"type":"binary","base64":"AP96"})");

    const auto pinged = json_lines(run({"--json", house.url, "--subprotocol", "pinger", "--count", "1"}).out);
    REQUIRE(pinged.size() == 5);
    CHECK(pinged[1] == R"({"event":"ping","time_ms":0,"text":"hey"})");
    CHECK(pinged[2] == R"({"event":"ping","time_ms":0,"base64":"/w=="})");

    const auto ponged = json_lines(run({"--json", house.url, "--slash"}, "/ping what for\n/close 4001 enough\n").out);
    REQUIRE(ponged.size() == 3);
    CHECK(ponged[1] == R"({"event":"pong","time_ms":0,"rtt_ms":0,"text":"what for"})");
    CHECK(has(ponged[2], R"("code":4001)"));

    const auto closed = run({"--json", "--subprotocol", "closer", "--wait", "forever", house.url + "/4002?enough"});
    CHECK(closed.code == 5);
    CHECK(json_lines(closed.out).back() == R"({"event":"close","time_ms":0,"code":4002,"reason":"enough","cause":""})");
}

TEST_CASE("with --json a refusal is an event, and errors are objects on standard error", "[connect]") {
    const House house;
    const auto refused = run({"--json", house.url, "--origin", "https://evil.example"});
    CHECK(refused.code == 4);
    const auto lines = json_lines(refused.out);
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].starts_with(R"({"event":"refused","time_ms":0,"status":403,"headers":[{"name":)"));
    CHECK(has(lines[0], R"("body":")"));
    CHECK(refused.err.starts_with(R"({"error":"handshake-refused","text":")"));

    std::ostringstream out, err;
    CHECK(wsd::ctl::run_command_line({"--json", "connect", "ws+unix:/no/such/socket"},
                                     {"wsd-ctl", out, err, 0, false, false}) == 1);
    CHECK(out.str().empty());
    CHECK(err.str().starts_with(R"({"error":"failed","text":")"));
}

TEST_CASE("the close code decides the exit code and is printed with the reason", "[connect]") {
    const House house;
    for (const auto& [target, code] : std::vector<std::pair<std::string, int>>{
             {"1000", 0}, {"1001?going", 0}, {"1008", 5}, {"4001?log in", 5}, {"1011", 5}}) {
        auto path = target;
        if (const auto blank = path.find(' '); blank != std::string::npos) path[blank] = '+';
        const auto number = path.substr(0, 4);
        const auto reason = path.size() > 4 ? ' ' + path.substr(5) : "";
        check(run({"--subprotocol", "closer", "--wait", "forever", house.url + '/' + path}, ""), code, "bye\n",
              {"closed: " + number + reason});
    }
}

TEST_CASE("after the end of the input connect waits, and the server may close first", "[connect]") {
    const House house;
    // This input never ends.
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    const wsserver::Descriptor in{ends[0]}, kept_open{ends[1]};
    check(run({"--subprotocol", "closer", house.url + "/1000"}, in.get()), 0, "bye\n", {"closed: 1000"});
    check(run({house.url, "--wait", "0.01", "--count", "5"}, "a\n"), 7, "a\n", {"1 of 5 messages"});
}

TEST_CASE("lines that begin with a slash are commands with --slash", "[connect]") {
    const House house;
    check(run({house.url, "--slash"}, "/ping\n/ping what for\nhi\n/close 4001 as I like\n"), 0, "hi\n",
          {"pong after ", "what for", "closed: 4001"});
    check(run({house.url, "--slash", "--wait", "forever"}, "/ping\n/close\n"), 0, "", {"closed: 1000"});
    const auto pinged = run({house.url, "--slash"}, "/ping\n/ping a\nhi\n/ping b\n");
    CHECK(std::count(pinged.err.begin(), pinged.err.end(), '\n') == 4);  // three pongs and the end
    check(run({house.url, "--slash"}, "/close\nnot sent\n"), 0, "", {"closed: 1000"});
    check(run({house.url, "--slash", "--count", "1"}, "//slash\n"), 0, "/slash\n");
    check(run({house.url, "--slash", "--wait", "0"}, "/pnig\n"), 1, "", {"/pnig", "/ping [TEXT]", "//pnig"});
    for (const char* code : {"1006", "999", "x", "10000"}) {
        CAPTURE(code);
        check(run({house.url, "--slash", "--wait", "0"}, std::string{"/close "} + code + '\n'), 1, "",
              {code, "3000 to 4999"});
    }
    check(run({house.url, "--slash", "--wait", "0"}, "/close 1000 " + std::string(124, 'r') + '\n'), 1, "",
          {"123 bytes"});
    check(run({house.url, "--slash", "--wait", "0"}, "/ping " + std::string(126, 'p') + '\n'), 1, "", {"125 bytes"});
}

TEST_CASE("lines of a file or pipe that begin with a slash are messages", "[connect]") {
    const House house;
    check(run({house.url, "--count", "4"}, "/index.html\n/close\n//x\n/\n"), 0, "/index.html\n/close\n//x\n/\n");
}

TEST_CASE("-v prints both parts of the handshake and every frame", "[connect]") {
    const House house;
    check(run({"-v", house.url + "/echo?x=1", "-H", "X-Extra: 17", "-H", "Y:", "--origin", "https://evil.example",
               "--count", "1"},
              "hello\n"),
          4, "",
          {"> GET /echo?x=1 HTTP/1.1", "> X-Extra: 17", "> Y: ", "> Origin: https://evil.example",
           "< HTTP/1.1 403 Forbidden"});
    check(run({"-v", house.url + "/echo", "--subprotocol", "sender,", "--count", "1"}), 2, "", {"sender,"});
    check(run({"-v", house.url + "/echo", "--count", "1"}, "hello\n"), 0, "hello\n",
          {"> Sec-WebSocket-Key: ", "< HTTP/1.1 101 Switching Protocols",
           "< Sec-WebSocket-Accept: ", "> text, FIN, masked, 5 bytes", "< text, FIN, 5 bytes",
           "> close, FIN, masked, 2 bytes", "< close, FIN, 2 bytes"});
}

TEST_CASE("the Host field may be given", "[connect]") {
    const House house;
    const auto sent = [&](const Strings& words) {
        auto all = words;
        all.insert(all.end(), {"-v", house.url, "--text", "a", "--count", "1"});
        const auto ended = run(all);
        CHECK(ended.code == 0);
        CHECK_FALSE(has(ended.err, "Host: 127.0.0.1"));
        return ended.err;
    };
    CHECK(has(sent({"--host", "www.example.org"}), "> Host: www.example.org\n"));
    CHECK(has(sent({"-H", "host:  www.example.org:8080"}), "> Host: www.example.org:8080\n"));
    check(run({house.url, "--host", "a b"}), 2, "", {"'a b' is not a valid host"});
}

TEST_CASE("without a connection the error and the exit code say why", "[connect]") {
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const wsserver::Descriptor closed_later{socket};
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    socklen_t size = sizeof address;
    REQUIRE(::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    const auto url = "ws://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    // Bound, but not listening: no other program can take the port.
    check(run({url + '/'}), 1, "", {url, "refused"});
    // Listening, but never answering.
    REQUIRE(::listen(socket, 1) == 0);
    check(run({url, "--timeout", "20ms"}), 7, "", {url});
    std::ostringstream out, err;
    CHECK(wsd::ctl::run_command_line({"--timeout", "20ms", "connect", url}, {"wsd-ctl", out, err, 0, false, false}) ==
          7);
    check(run({"wss://127.0.0.1/"}), 6, "", {"TLS", "wss://127.0.0.1/"});
    check(run({"http://127.0.0.1/"}), 2, "", {"ws://"});
    check(run({"ws+unix:/no/such/socket"}), 1, "", {"/no/such/socket"});
}

TEST_CASE("a terminated connection is abnormal", "[connect]") {
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    const wsserver::Descriptor in{ends[0]}, kept_open{ends[1]};
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        struct Suicide {
            void on_message(AnyConnection&, const wsserver::Text&) { ::kill(::getpid(), SIGKILL); }
        };
        wsserver::Server server{House::options()};
        server.handle(Suicide{});
        const auto listening = server.listen("127.0.0.1:0");
        const auto url = listening.value_or("") + '\n';
        if (::write(kept_open.get(), url.data(), url.size()) < 0) ::_exit(2);
        server.run();
        ::_exit(1);
    }
    std::string url;
    for (char c = 0; ::read(in.get(), &c, 1) == 1 && c != '\n';) url += c;
    const auto ended = run({url, "--wait", "forever"}, "die\n");
    check(ended, 5, "", {"closed: 1006"});
    CHECK_FALSE(has(ended.err, " ("));  // the cause is not repeated
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
}

TEST_CASE("Ctrl-C ends with a closing handshake", "[connect]") {
    std::array<int, 2> pipe{};
    REQUIRE(::pipe2(pipe.data(), O_CLOEXEC) == 0);
    const wsserver::Descriptor in{pipe[0]}, out{pipe[1]};
    // The client's process is started before this one has threads.
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        std::string url;
        for (char c = 0; ::read(in.get(), &c, 1) == 1 && c != '\n';) url += c;
        ::_exit(run({url}, in.get()).code);
    }
    Record ends;
    const House house{
        [&](const wsserver::ConnectionEnd& end) { ends.add(std::to_string(static_cast<int>(end.code))); }};
    const auto lines = house.url + "\nhello\n";
    REQUIRE(::write(out.get(), lines.data(), lines.size()) > 0);
    // The server's view does not prove that the client is open. A message from the client does.
    while (house.server.statistics().messages_in == 0) std::this_thread::yield();
    REQUIRE(::kill(child, SIGINT) == 0);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 128 + SIGINT);
    CHECK(ends.wait_for(1).at(0) == "1001");
}

TEST_CASE("wrong flags are reported before anything is done", "[connect]") {
    check(run({}), 2, "", {"URL is missing"});
    check(run({"ws://127.0.0.1", "extra"}), 2, "", {"extra", "one URL"});
    check(run({"ws://127.0.0.1", "--cuont", "3"}), 2, "", {"--cuont", "did you mean --count?"});
    check(run({"ws://127.0.0.1", "--count", "0"}), 2, "", {"--count 0"});
    check(run({"ws://127.0.0.1", "--count", "-1"}), 2, "", {"--count"});
    check(run({"ws://127.0.0.1", "--wait", "-1"}), 2, "", {"--wait", "forever"});
    check(run({"ws://127.0.0.1", "--wait", "soon"}), 2, "", {"--wait soon"});
    check(run({"ws://127.0.0.1", "--timeout", "5"}), 2, "", {"--timeout"});
    check(run({"ws://127.0.0.1", "-H", "no colon"}), 2, "", {"-H no colon", "'NAME: VALUE'"});
    check(run({"ws://127.0.0.1", "-H"}), 2, "", {"--header"});
    const auto help = run({"--help"});
    CHECK(help.code == 0);
    for (const char* part : {"--subprotocol", "/ping", "exit codes", "ws+unix:"}) CHECK(has(help.out, part));
}

TEST_CASE("nothing after an equals sign is an empty value", "[connect]") {
    const auto options = wsd::ctl::parse_connect_options({"--text=", "--origin=", "ws://x", "--text", "--origin="});
    REQUIRE(options);
    CHECK(options->url == "ws://x");
    CHECK(options->texts == Strings{"", "--origin="});
}

TEST_CASE("a timeout of 0 means forever", "[connect]") {
    const auto options = wsd::ctl::parse_connect_options({"ws://x", "--timeout", "0"});
    REQUIRE(options);
    CHECK(options->timeout == std::chrono::milliseconds::max());
}

TEST_CASE("--wait takes seconds, times and forever", "[connect]") {
    using namespace std::chrono_literals;
    const auto wait = [](const Strings& words) {
        const auto options = wsd::ctl::parse_connect_options(words);
        REQUIRE(options);
        return options->wait;
    };
    CHECK(wait({"ws://x"}) == 1s);
    CHECK(wait({"ws://x", "--wait", "0"}) == 0ms);
    CHECK(wait({"ws://x", "--wait", "2.5"}) == 2500ms);
    CHECK(wait({"ws://x", "--wait", "300ms"}) == 300ms);
    CHECK(wait({"ws://x", "--wait", "forever"}) == std::nullopt);
    CHECK(wait({"ws://x", "--count", "1"}) == std::nullopt);
    CHECK(wait({"ws://x", "--count", "1", "--wait", "5"}) == 5s);
}
