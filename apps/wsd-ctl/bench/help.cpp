#include "wsd-ctl/bench/options.hpp"

namespace wsd::ctl::bench {

std::string help() {
    return "usage: bench [FLAGS] URL\n"
           "\n"
           "  Loads any WebSocket server and reports how many messages it answers and how long that takes. It needs "
           "no\n"
           "  wsd. It uses one thread, and warns if that thread and not the server is the bottleneck.\n"
           "\n"
           "URL: ws://HOST[:PORT][/PATH][?QUERY], or ws+unix:/SOCKET[:/PATH][?QUERY]\n"
           "\n"
           "what the connections do (--mode):\n"
           "  echo         each sends, and must receive the same back\n"
           "  fan-out      one publishes, and all others must receive it\n"
           "  idle         nothing; the server's memory shows what they cost\n"
           "  handshake    connect, upgrade, close, again and again\n"
           "\n"
           "options:\n"
           "  --mode MODE        echo\n"
           "  --connections N    how many: 64\n"
           "  --size SIZE        bytes of a message: 125\n"
           "  --in-flight P      unanswered messages of each connection (fan-out: of the publisher): 1\n"
           "  --rate R           messages a second of all connections together, whether answered or not (up to\n"
           "                     --in-flight, whose default is then 1024). Latency is measured from the time at which "
           "a\n"
           "                     message was due. Without --rate, each answer triggers the next message\n"
           "  --duration TIME    how long to measure: 10s\n"
           "  --warm-up TIME     how long to load the server before that: 1s\n"
           "  --text, --binary   which messages: text\n"
           "  --server-pid PID   the server runs here as this process: report its CPU time and memory\n"
           "  -H 'NAME: VALUE'   another field of the request; may be repeated\n"
           "  --subprotocol S    offer it; may be repeated, the best one first\n"
           "  --origin O         the Origin, as a browser sends it\n"
           "  --timeout TIME     how long an opening handshake and the last answers may take: 10s\n"
           "  --json             the result as one object\n"
           "  -q, --quiet        no output, only errors and the exit code\n"
           "\n"
           "Ctrl-C ends it early and prints what was measured so far.\n"
           "\n"
           "exit codes: 0 done; 1 no connection, or messages were lost or wrong; 2 usage; 4 the server refused an "
           "opening\n"
           "handshake; 5 it ended connections; 6 TLS; 7 no connection in time; 130 Ctrl-C\n"
           "\n"
           "example: bench --connections 1000 --server-pid $(pidof wsd) ws://127.0.0.1:8080/\n"
           "         bench --rate 20000 --size 1KiB --duration 1m --json ws://127.0.0.1:8080/ | jq .latency_us.p99_9\n"
           "         bench --mode fan-out --subprotocol chat --connections 500 ws://127.0.0.1:8080/\n";
}

std::string help_in_short() { return "  bench           load any WebSocket server: help bench\n"; }

}  // namespace wsd::ctl::bench
