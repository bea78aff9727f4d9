# Completes the words of wsd-ctl. Made by `wsd-ctl completion fish`.
complete -c wsd-ctl -n '__fish_use_subcommand' -l spool
complete -c wsd-ctl -n '__fish_use_subcommand' -l json
complete -c wsd-ctl -n '__fish_use_subcommand' -l timeout
complete -c wsd-ctl -n '__fish_use_subcommand' -l no-answer
complete -c wsd-ctl -n '__fish_use_subcommand' -l quiet
complete -c wsd-ctl -n '__fish_use_subcommand' -l verbose
complete -c wsd-ctl -n '__fish_use_subcommand' -l version
complete -c wsd-ctl -n '__fish_use_subcommand' -l help
complete -c wsd-ctl -n __fish_use_subcommand -f -a status -d 'version, addresses, connections, counters, and handlers that hang'
complete -c wsd-ctl -n __fish_use_subcommand -f -a list -d 'connections: id, peer, subprotocol, handler, state, times, traffic'
complete -c wsd-ctl -n __fish_use_subcommand -f -a show -d 'one connection'
complete -c wsd-ctl -n __fish_use_subcommand -f -a send -d 'send a message to one connection'
complete -c wsd-ctl -n __fish_use_subcommand -f -a broadcast -d 'send a message to all connections; prints how many it was queued for'
complete -c wsd-ctl -n __fish_use_subcommand -f -a ping -d 'send a ping; `show ID` prints its round trip after the pong'
complete -c wsd-ctl -n __fish_use_subcommand -f -a close -d 'begin the closing handshake'
complete -c wsd-ctl -n __fish_use_subcommand -f -a handler -d 'list, load, unload, reload'
complete -c wsd-ctl -n __fish_use_subcommand -f -a call -d 'run a handler'\''s own command'
complete -c wsd-ctl -n __fish_use_subcommand -f -a log-level -d 'set the log level: debug, info, warning or error'
complete -c wsd-ctl -n __fish_use_subcommand -f -a reload -d 'read the configuration again; connections stay, and if it is invalid the old one stays, too'
complete -c wsd-ctl -n __fish_use_subcommand -f -a drain -d 'accept no new connections; open ones stay'
complete -c wsd-ctl -n __fish_use_subcommand -f -a undrain -d 'accept new connections again, after drain'
complete -c wsd-ctl -n __fish_use_subcommand -f -a stop -d 'close all connections with 1001 and exit'
complete -c wsd-ctl -n __fish_use_subcommand -f -a version -d 'the program and its version'
complete -c wsd-ctl -n __fish_use_subcommand -f -a help -d 'all commands, or one: help WORD'
complete -c wsd-ctl -n __fish_use_subcommand -f -a connect -d 'act as a WebSocket client, for debugging: help connect'
complete -c wsd-ctl -n __fish_use_subcommand -f -a bench -d 'load any WebSocket server: help bench'
complete -c wsd-ctl -n __fish_use_subcommand -f -a spool -d 'the folder of the spool'
complete -c wsd-ctl -n __fish_use_subcommand -f -a completion -d 'a script that completes words in a shell: bash, zsh or fish'
complete -c wsd-ctl -n '__fish_seen_subcommand_from status' -l json -d 'answer with JSON, one object a line'
complete -c wsd-ctl -n '__fish_seen_subcommand_from status' -l no-answer -d 'write no answer, not even an error'
complete -c wsd-ctl -n '__fish_seen_subcommand_from list' -l subprotocol -r -d 'only connections with this subprotocol; `default`: without one'
complete -c wsd-ctl -n '__fish_seen_subcommand_from list' -l handler -r -d 'only connections that this handler serves'
complete -c wsd-ctl -n '__fish_seen_subcommand_from list' -l peer -r -d 'only connections from this address, with its port or without'
complete -c wsd-ctl -n '__fish_seen_subcommand_from list' -l sort -r -d 'by this column, the largest first'
complete -c wsd-ctl -n '__fish_seen_subcommand_from list' -l reverse -d 'in the reverse order'
complete -c wsd-ctl -n '__fish_seen_subcommand_from list' -l limit -r -d 'at most N connections'
complete -c wsd-ctl -n '__fish_seen_subcommand_from list' -l json -d 'answer with JSON, one object a line'
complete -c wsd-ctl -n '__fish_seen_subcommand_from list' -l no-answer -d 'write no answer, not even an error'
complete -c wsd-ctl -n '__fish_seen_subcommand_from show' -l json -d 'answer with JSON, one object a line'
complete -c wsd-ctl -n '__fish_seen_subcommand_from show' -l no-answer -d 'write no answer, not even an error'
complete -c wsd-ctl -n '__fish_seen_subcommand_from send' -l binary -d 'send a binary message; the payload may be any bytes'
complete -c wsd-ctl -n '__fish_seen_subcommand_from send' -l json -d 'answer with JSON, one object a line'
complete -c wsd-ctl -n '__fish_seen_subcommand_from send' -l no-answer -d 'write no answer, not even an error'
complete -c wsd-ctl -n '__fish_seen_subcommand_from broadcast' -l subprotocol -r -d 'only to connections with this subprotocol'
complete -c wsd-ctl -n '__fish_seen_subcommand_from broadcast' -l topic -r -d 'only to subscribers (not yet)'
complete -c wsd-ctl -n '__fish_seen_subcommand_from broadcast' -l binary -d 'send a binary message; the payload may be any bytes'
complete -c wsd-ctl -n '__fish_seen_subcommand_from broadcast' -l json -d 'answer with JSON, one object a line'
complete -c wsd-ctl -n '__fish_seen_subcommand_from broadcast' -l no-answer -d 'write no answer, not even an error'
complete -c wsd-ctl -n '__fish_seen_subcommand_from ping' -l all -d 'all connections'
complete -c wsd-ctl -n '__fish_seen_subcommand_from ping' -l json -d 'answer with JSON, one object a line'
complete -c wsd-ctl -n '__fish_seen_subcommand_from ping' -l no-answer -d 'write no answer, not even an error'
complete -c wsd-ctl -n '__fish_seen_subcommand_from close' -l all -d 'all connections'
complete -c wsd-ctl -n '__fish_seen_subcommand_from close' -l code -r -d 'the close code; default: 1000'
complete -c wsd-ctl -n '__fish_seen_subcommand_from close' -l reason -r -d 'at most 123 bytes for the peer to read'
complete -c wsd-ctl -n '__fish_seen_subcommand_from close' -l json -d 'answer with JSON, one object a line'
complete -c wsd-ctl -n '__fish_seen_subcommand_from close' -l no-answer -d 'write no answer, not even an error'
complete -c wsd-ctl -n '__fish_seen_subcommand_from handler' -a 'list load unload reload'
complete -c wsd-ctl -n '__fish_seen_subcommand_from handler' -l json -d 'answer with JSON, one object a line'
complete -c wsd-ctl -n '__fish_seen_subcommand_from handler' -l no-answer -d 'write no answer, not even an error'
complete -c wsd-ctl -n '__fish_seen_subcommand_from handler' -l to-default -d 'its connections stay open, and the default handler serves them'
complete -c wsd-ctl -n '__fish_seen_subcommand_from handler' -l all -d 'all shared objects'
complete -c wsd-ctl -n '__fish_seen_subcommand_from call' -l json -d 'answer with JSON, one object a line'
complete -c wsd-ctl -n '__fish_seen_subcommand_from call' -l no-answer -d 'write no answer, not even an error'
complete -c wsd-ctl -n '__fish_seen_subcommand_from log-level' -l json -d 'answer with JSON, one object a line'
complete -c wsd-ctl -n '__fish_seen_subcommand_from log-level' -l no-answer -d 'write no answer, not even an error'
complete -c wsd-ctl -n '__fish_seen_subcommand_from reload' -l json -d 'answer with JSON, one object a line'
complete -c wsd-ctl -n '__fish_seen_subcommand_from reload' -l no-answer -d 'write no answer, not even an error'
complete -c wsd-ctl -n '__fish_seen_subcommand_from drain' -l json -d 'answer with JSON, one object a line'
complete -c wsd-ctl -n '__fish_seen_subcommand_from drain' -l no-answer -d 'write no answer, not even an error'
complete -c wsd-ctl -n '__fish_seen_subcommand_from undrain' -l json -d 'answer with JSON, one object a line'
complete -c wsd-ctl -n '__fish_seen_subcommand_from undrain' -l no-answer -d 'write no answer, not even an error'
complete -c wsd-ctl -n '__fish_seen_subcommand_from stop' -l json -d 'answer with JSON, one object a line'
complete -c wsd-ctl -n '__fish_seen_subcommand_from stop' -l no-answer -d 'write no answer, not even an error'
complete -c wsd-ctl -n '__fish_seen_subcommand_from version' -l json -d 'answer with JSON, one object a line'
complete -c wsd-ctl -n '__fish_seen_subcommand_from version' -l no-answer -d 'write no answer, not even an error'
complete -c wsd-ctl -n '__fish_seen_subcommand_from help' -l json -d 'answer with JSON, one object a line'
complete -c wsd-ctl -n '__fish_seen_subcommand_from help' -l no-answer -d 'write no answer, not even an error'
complete -c wsd-ctl -n '__fish_seen_subcommand_from connect' -l subprotocol
complete -c wsd-ctl -n '__fish_seen_subcommand_from connect' -l origin
complete -c wsd-ctl -n '__fish_seen_subcommand_from connect' -l host
complete -c wsd-ctl -n '__fish_seen_subcommand_from connect' -l text
complete -c wsd-ctl -n '__fish_seen_subcommand_from connect' -l binary
complete -c wsd-ctl -n '__fish_seen_subcommand_from connect' -l whole
complete -c wsd-ctl -n '__fish_seen_subcommand_from connect' -l delimiter
complete -c wsd-ctl -n '__fish_seen_subcommand_from connect' -l slash
complete -c wsd-ctl -n '__fish_seen_subcommand_from connect' -l hex
complete -c wsd-ctl -n '__fish_seen_subcommand_from connect' -l json
complete -c wsd-ctl -n '__fish_seen_subcommand_from connect' -l count
complete -c wsd-ctl -n '__fish_seen_subcommand_from connect' -l wait
complete -c wsd-ctl -n '__fish_seen_subcommand_from connect' -l timeout
complete -c wsd-ctl -n '__fish_seen_subcommand_from connect' -l verbose
complete -c wsd-ctl -n '__fish_seen_subcommand_from bench' -l mode
complete -c wsd-ctl -n '__fish_seen_subcommand_from bench' -l connections
complete -c wsd-ctl -n '__fish_seen_subcommand_from bench' -l size
complete -c wsd-ctl -n '__fish_seen_subcommand_from bench' -l in-flight
complete -c wsd-ctl -n '__fish_seen_subcommand_from bench' -l rate
complete -c wsd-ctl -n '__fish_seen_subcommand_from bench' -l duration
complete -c wsd-ctl -n '__fish_seen_subcommand_from bench' -l warm-up
complete -c wsd-ctl -n '__fish_seen_subcommand_from bench' -l text
complete -c wsd-ctl -n '__fish_seen_subcommand_from bench' -l binary
complete -c wsd-ctl -n '__fish_seen_subcommand_from bench' -l server-pid
complete -c wsd-ctl -n '__fish_seen_subcommand_from bench' -l subprotocol
complete -c wsd-ctl -n '__fish_seen_subcommand_from bench' -l origin
complete -c wsd-ctl -n '__fish_seen_subcommand_from bench' -l timeout
complete -c wsd-ctl -n '__fish_seen_subcommand_from bench' -l json
complete -c wsd-ctl -n '__fish_seen_subcommand_from bench' -l quiet
complete -c wsd-ctl -n '__fish_seen_subcommand_from spool' -l spool
complete -c wsd-ctl -n '__fish_seen_subcommand_from spool' -l json
complete -c wsd-ctl -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'
