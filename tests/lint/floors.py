#!/usr/bin/env python3
"""Checks that includes run only downward: the floors of docs/architecture.md, told to a machine.

A room (a header of include/wsserver with its body of the same name in src/) may include rooms of its own
floor and of those named beside it, and never in a circle. The parts of a room (server_impl) stand where it
stands. The core (floors 0 to 3) sees no socket, thread, clock or random device.

usage: floors.py SOURCE_ROOT
"""

import os
import re
import sys
from pathlib import Path

# floor: (what it may include besides itself, its rooms)
GROUND = "0 ground"
FRAME = "1 frame"
MESSAGE = "2 message"
PROTOCOL = "3 protocol"
TRANSPORT = "4 transport"
QUEUE = "5 queue"
CONNECTION = "5 connection"
POOL = "6 pool"
SERVER = "7 server"
HANDLERS = "8 handlers"
CONTROL = "9 control"
APPS = "10 apps"

CORE = [GROUND, FRAME, MESSAGE, PROTOCOL]
FLOORS = {
    GROUND: ([], ["block", "room", "bytes", "result", "rfc6455", "error", "kernels", "kernels/*", "mask", "utf8", "output", "packed_texts", "poison", "unique_function", "words"]),
    FRAME: ([GROUND], ["frame"]),
    MESSAGE: ([GROUND, FRAME], ["message", "encode", "assembly", "extension"]),
    PROTOCOL: ([GROUND, FRAME, MESSAGE], ["http", "chunked_body", "origin", "handshake", "url", "protocol"]),
    # Neighbours of the protocol who have never met it.
    TRANSPORT: ([GROUND], ["transport", "descriptor", "endpoint", "peer_address", "listener", "socket_address", "transport/*"]),
    # Threads, tasks and times; these know no connection.
    QUEUE: ([GROUND], ["timer_wheel", "task", "priority_task_queue", "worker_pool"]),
    CONNECTION: (CORE + [TRANSPORT, QUEUE],
                 ["hub", "any_connection", "any_handler", "agreement", "send_queue", "inbox", "output_path",
                  "connection_host", "connection"]),
    POOL: (CORE + [TRANSPORT, QUEUE, CONNECTION], ["connection_pool", "mailbox"]),
    SERVER: (CORE + [TRANSPORT, QUEUE, CONNECTION, POOL],
             ["reactor", "handler_table", "pooled_handler", "server", "client", "awaitable_client"]),
    HANDLERS: (CORE + [TRANSPORT, QUEUE, CONNECTION, POOL, SERVER], ["handlers", "handler", "shared_library", "shared_object_host", "shared_object"]),
    CONTROL: (CORE + [TRANSPORT, QUEUE, CONNECTION, POOL, SERVER, HANDLERS],
              ["report", "describe", "command", "control_target", "control_lines", "spool", "observer",
               "server_control"]),
    APPS: (CORE + [TRANSPORT, QUEUE, CONNECTION, POOL, SERVER, HANDLERS, CONTROL], ["wsserver"]),
}

# A header of the core that includes one of these has left the core.
WORLD = re.compile(r"<(boost/(asio|beast)|sys/|netinet/|arpa/|poll\.h|unistd\.h|thread|mutex|shared_mutex|"
                   r"condition_variable|future|chrono|ctime|time\.h|random|iostream|fstream|filesystem)")
INCLUDE = re.compile(r'^\s*#\s*include\s*(<[^>]+>|"[^"]+")', re.MULTILINE)


def room_of(path):
    """The room a file or an include belongs to: "frame" for include/wsserver/frame.hpp and src/frame.cpp."""
    return re.sub(r"\.(hpp|cpp|h|ipp)$", "", path)


def floor_of(room):
    """The floor of a room or of the longest one it is a part of: server_impl stands where server does."""
    while True:
        for floor, (_, rooms) in FLOORS.items():
            for known in rooms:
                if known == room or (known.endswith("/*") and room.startswith(known[:-1])):
                    return floor
        if "_" not in room:
            return None
        room = room.rpartition("_")[0]


def ours(include, folder):
    """The room of an include of ours, seen from a file in `folder` of its tree; None for a foreign one."""
    name = include.strip('<>"')
    if name.startswith("wsserver/"):
        return room_of(name.removeprefix("wsserver/"))
    if include.startswith('"'):
        return room_of(os.path.normpath(os.path.join(folder, name)))
    return None


def circle(graph):
    """A list of rooms that include each other in a circle, or None."""
    done, path = set(), []

    def visit(room):
        if room in path:
            return path[path.index(room):] + [room]
        if room in done:
            return None
        path.append(room)
        for below in sorted(graph.get(room, ())):
            if found := visit(below):
                return found
        path.pop()
        done.add(room)
        return None

    for room in sorted(graph):
        if found := visit(room):
            return found
    return None


def main(root):
    faults, graph, checked = [], {}, 0
    headers = root / "include" / "wsserver"
    source = root / "src"
    for base in (headers, source):
        for file in sorted(base.rglob("*")):
            if file.suffix not in (".hpp", ".cpp", ".h", ".ipp"):
                continue
            checked += 1
            where = file.relative_to(root)
            room = room_of(str(file.relative_to(base)))
            floor = floor_of(room)
            if floor is None:
                faults.append(f"{where}: has no floor; give it one in tests/lint/floors.py and docs/architecture.md")
                continue
            for include in INCLUDE.findall(file.read_text(encoding="utf-8")):
                below = ours(include, file.relative_to(base).parent)
                if below is None:
                    if base == headers and floor in CORE and WORLD.match(include):
                        faults.append(f"{where}: the core includes {include}")
                    continue
                if below == room:
                    continue
                if base == headers:
                    graph.setdefault(room, set()).add(below)
                floor_below = floor_of(below)
                if floor_below is None:
                    faults.append(f"{where}: includes {include}, which has no floor")
                elif floor_below != floor and floor_below not in FLOORS[floor][0]:
                    faults.append(f"{where} (floor {floor}) includes {include} (floor {floor_below})")
    if found := circle(graph):
        faults.append("a circle: " + " -> ".join(found))
    for fault in faults:
        print(fault)
    print(f"{checked} files, {len(faults)} faults")
    return 1 if faults or not checked else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
