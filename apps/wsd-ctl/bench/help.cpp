#include "wsd-ctl/bench/options.hpp"

namespace wsd::ctl::bench {

std::string help() {
    return "usage: bench [FLAGS] URL\n"
           "\n"
           "  Loads a WebSocket server, any one, and tells how many messages it answers and how long that takes; it "
           "needs\n"
           "  no wsd. One thread does it all: where it is the bottleneck and not the server, that is said.\n"
           "\n"
           "URL: ws://HOST[:PORT][/PATH][?QUERY], or ws+unix:/SOCKET[:/PATH][?QUERY]\n"
           "\n"
           "what the connections do, --mode:\n"
           "  echo         each sends, and the same must come back to it\n"
           "  fan-out      one publishes, and all others must receive it\n"
           "  idle         nothing; the server's memory tells what they cost\n"
           "  handshake    connect, upgrade, close, again and again\n"
           "\n"
           "options:\n"
           "  --mode MODE        echo\n"
           "  --connections N    how many: 64\n"
           "  --size SIZE        bytes of a message: 125\n"
           "  --in-flight P      messages without their answers, of each connection (fan-out: of the one that "
           "publishes): 1\n"
           "  --rate R           so many messages a second of all together, answered or not (up to --in-flight, which\n"
           "                     then is 1024). Latency counts from the time at which a message was due. Without it "
           "the\n"
           "                     next one leaves when an answer has come\n"
           "  --duration TIME    how long to measure: 10s\n"
           "  --warm-up TIME     how long to load the server before that: 1s\n"
           "  --text, --binary   which messages: text\n"
           "  --server-pid PID   the server runs here as that process: tell its CPU time and its memory\n"
           "  -H 'NAME: VALUE'   a further field of the request; again for more\n"
           "  --subprotocol S    ask for it; again for more, the best one first\n"
           "  --origin O         the Origin, as a browser sends it\n"
           "  --timeout TIME     how long an opening handshake, and the last answers, may take: 10s\n"
           "  --json             the result as one object\n"
           "  -q, --quiet        no output, only errors: the exit code tells\n"
           "\n"
           "Ctrl-C ends it early; what was measured by then is told.\n"
           "\n"
           "exit codes: 0 done; 1 no connection, or messages were lost or wrong; 2 usage; 4 the server refused an "
           "opening\n"
           "handshake; 5 it ended connections; 6 TLS; 7 no connection in time; 130 Ctrl-C\n"
           "\n"
           "example: bench --connections 1000 --server-pid $(pidof wsd) ws://127.0.0.1:8080/\n"
           "         bench --rate 20000 --size 1KiB --duration 1m --json ws://127.0.0.1:8080/ | jq .latency_us.p99_9\n"
           "         bench --mode fan-out --subprotocol chat --connections 500 ws://127.0.0.1:8080/\n";
}

std::string help_in_short() { return "  bench           load a WebSocket server, any one: help bench\n"; }

}  // namespace wsd::ctl::bench
