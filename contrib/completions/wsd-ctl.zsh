#compdef wsd-ctl
# Completes the words of wsd-ctl. Made by `wsd-ctl completion zsh`.
local command='' i
local -a candidates
for ((i = 2; i < CURRENT; i++)); do
    case ${words[i]} in
        --spool|--timeout) ((i++)) ;;
        -*) ;;
        *) command=${words[i]}; break ;;
    esac
done
case $command in
    '') candidates=(
        'status:version, addresses, connections, counters, and handlers that hang'
        'list:connections: id, peer, subprotocol, handler, state, times, traffic'
        'show:one connection'
        'send:send a message to one connection'
        'broadcast:send a message to all connections; prints how many it was queued for'
        'ping:send a ping; `show ID` prints its round trip after the pong'
        'close:begin the closing handshake'
        'handler:list, load, unload, reload'
        'call:run a handler'\''s own command'
        'log-level:set the log level: debug, info, warning or error'
        'reload:read the configuration again; connections stay, and if it is invalid the old one stays, too'
        'drain:accept no new connections; open ones stay'
        'undrain:accept new connections again, after drain'
        'stop:close all connections with 1001 and exit'
        'version:the program and its version'
        'help:all commands, or one: help WORD'
        'connect:act as a WebSocket client, for debugging: help connect'
        'bench:load any WebSocket server: help bench'
        'spool:the folder of the spool'
        'completion:a script that completes words in a shell: bash, zsh or fish'
        --spool --json --timeout --no-answer --quiet --verbose --version --help) ;;
    status) candidates=('--json:answer with JSON, one object a line' '--no-answer:write no answer, not even an error') ;;
    list) candidates=('--subprotocol:only connections with this subprotocol; `default`: without one' '--handler:only connections that this handler serves' '--peer:only connections from this address, with its port or without' '--sort:by this column, the largest first' '--reverse:in the reverse order' '--limit:at most N connections' '--json:answer with JSON, one object a line' '--no-answer:write no answer, not even an error') ;;
    show) candidates=('--json:answer with JSON, one object a line' '--no-answer:write no answer, not even an error') ;;
    send) candidates=('--binary:send a binary message; the payload may be any bytes' '--json:answer with JSON, one object a line' '--no-answer:write no answer, not even an error') ;;
    broadcast) candidates=('--subprotocol:only to connections with this subprotocol' '--topic:only to subscribers (not yet)' '--binary:send a binary message; the payload may be any bytes' '--json:answer with JSON, one object a line' '--no-answer:write no answer, not even an error') ;;
    ping) candidates=('--all:all connections' '--json:answer with JSON, one object a line' '--no-answer:write no answer, not even an error') ;;
    close) candidates=('--all:all connections' '--code:the close code; default: 1000' '--reason:at most 123 bytes for the peer to read' '--json:answer with JSON, one object a line' '--no-answer:write no answer, not even an error') ;;
    handler) candidates=(list load unload reload '--json:answer with JSON, one object a line' '--no-answer:write no answer, not even an error' '--to-default:its connections stay open, and the default handler serves them' '--all:all shared objects') ;;
    call) candidates=('--json:answer with JSON, one object a line' '--no-answer:write no answer, not even an error') ;;
    log-level) candidates=('--json:answer with JSON, one object a line' '--no-answer:write no answer, not even an error') ;;
    reload) candidates=('--json:answer with JSON, one object a line' '--no-answer:write no answer, not even an error') ;;
    drain) candidates=('--json:answer with JSON, one object a line' '--no-answer:write no answer, not even an error') ;;
    undrain) candidates=('--json:answer with JSON, one object a line' '--no-answer:write no answer, not even an error') ;;
    stop) candidates=('--json:answer with JSON, one object a line' '--no-answer:write no answer, not even an error') ;;
    version) candidates=('--json:answer with JSON, one object a line' '--no-answer:write no answer, not even an error') ;;
    help) candidates=('--json:answer with JSON, one object a line' '--no-answer:write no answer, not even an error') ;;
    connect) candidates=(--subprotocol --origin --host --text --binary --whole --delimiter --slash --hex --json --count --wait --timeout --verbose) ;;
    bench) candidates=(--mode --connections --size --in-flight --rate --duration --warm-up --text --binary --server-pid --subprotocol --origin --timeout --json --quiet) ;;
    spool) candidates=(--spool --json) ;;
    completion) candidates=(bash zsh fish) ;;
esac
_describe wsd-ctl candidates
_files
