#!/usr/bin/env python3
"""Checks the rules of docs/architecture.md for includes: only downward, and never in a circle.

A folder of include/wsserver is a floor. A file may include its own floor and the floors below it, and never in a
circle. The headers on top of include/wsserver belong to the floor whose door they are. apps/ is above all floors; in
it wsd and wsd-ctl are above common.

usage: floors.py [SOURCE_ROOT]
"""

import os
import re
import sys
from pathlib import Path

# The floors, lowest first. Floors in one line are neighbours and never include each other.
ORDER = [
    ["base"],
    ["protocol", "scheduling"],
    ["handshake", "transport"],
    ["connection"],
    ["client", "server"],
    ["handler"],
    ["control"],
    ["front"],  # includes all floors below
    ["common"],
    ["wsd-ctl"],
    ["wsd"],
]
# The first is above the second, but does not include it.
STRANGERS = {("handshake", "scheduling"), ("transport", "protocol")}
FRONT = {
    "server.hpp": "server",
    "testing.hpp": "server",
    "client.hpp": "client",
    "awaitable_client.hpp": "client",
    "relay.hpp": "client",
    "handler.h": "handler",
    "handler.hpp": "handler",
    "wsserver.hpp": "front",
    "src.hpp": "front",
}
LEVEL = {floor: level for level, floors in enumerate(ORDER) for floor in floors}

SOURCES = (".hpp", ".cpp", ".ipp", ".h")
INCLUDE = re.compile(r'^\s*#\s*include\s*(<[^>]+>|"[^"]+")', re.MULTILINE)

# Headers of the core include no socket, thread, clock or random device.
WORLD = re.compile(r"<(boost/(asio|beast)|openssl/|liburing|fmt/|sys/|netinet/|arpa/|poll\.h|unistd\.h|thread|mutex|"
                   r"shared_mutex|condition_variable|future|chrono|ctime|time\.h|random|iostream|fstream|filesystem)")
CORE = {"base", "protocol", "handshake"}
# The headers of other projects, and which files may include them.
FOREIGN = [
    (re.compile(r"<boost/beast/"), lambda path: path.startswith(("include/wsserver/handshake/impl/",
                                                                 "include/wsserver/handshake/detail/"))),
    (re.compile(r"<(boost/asio|liburing)"), lambda path: floor_of(path) in {"transport", "client"}
     or path == "include/wsserver/server.hpp" or floor_of(path) in {"common", "wsd", "wsd-ctl"}),
    (re.compile(r"<fmt/"), lambda path: floor_of(path) in {"control", "common", "wsd", "wsd-ctl"}),
]


def floor_of(path):
    """The floor of a file, by its path from the root: "protocol" for include/wsserver/protocol/frame.hpp."""
    parts = path.split("/")
    if parts[:2] == ["include", "wsserver"]:
        return FRONT.get(parts[2]) if len(parts) == 3 else parts[2] if parts[2] in LEVEL else None
    if parts[0] == "src":  # a unit: base.cpp, transport_asio.cpp
        name = parts[1].removesuffix(".cpp").partition("_")[0]
        return name if name in LEVEL else None
    if parts[0] == "apps" and len(parts) > 2:
        return parts[1] if parts[1] in LEVEL else None
    return None


def may_include(floor, below):
    """Whether a file of `floor` may include one of `below`."""
    if floor == below:
        return True
    return LEVEL[below] < LEVEL[floor] and (floor, below) not in STRANGERS


def target_of(include, path, files):
    """The file of this tree that an include in `path` names; None for one of another project."""
    name = include.strip('<>"')
    sibling = os.path.normpath(os.path.join(os.path.dirname(path), name))
    candidates = [f"include/{name}"] if include.startswith("<") else [sibling, f"include/{name}", f"apps/{name}"]
    for candidate in candidates:
        if candidate in files:
            return candidate
    return f"include/{name}" if name.startswith("wsserver/") else None


def circle(graph):
    """A list of files that include each other in a circle, or None."""
    done, path = set(), []

    def visit(file):
        if file in path:
            return path[path.index(file):] + [file]
        if file in done:
            return None
        path.append(file)
        for below in sorted(graph.get(file, ())):
            if found := visit(below):
                return found
        path.pop()
        done.add(file)
        return None

    for file in sorted(graph):
        if found := visit(file):
            return found
    return None


def faults_of(path, text, files):
    """The faults in the includes of one file, and the files of this tree that it includes."""
    faults, targets = [], []
    floor = floor_of(path)
    if floor is None:
        return [f"{path}: has no floor; docs/architecture.md and tests/lint/floors.py name them"], []
    for include in INCLUDE.findall(text):
        target = target_of(include, path, files)
        if target is None:
            if path.endswith(".hpp") and floor in CORE and "/detail/" not in path and WORLD.match(include):
                faults.append(f"{path}: the core includes {include}")
            for what, is_allowed in FOREIGN:
                if what.match(include) and not is_allowed(path):
                    faults.append(f"{path}: {include} belongs to other floors")
            continue
        targets.append(target)
        below = floor_of(target)
        if below is None:
            faults.append(f"{path}: includes {include}, which has no floor")
        elif not may_include(floor, below):
            faults.append(f"{path} (floor {floor}) includes {include} (floor {below})")
    return faults, targets


def main(root):
    files = {str(file.relative_to(root)) for base in ("include/wsserver", "src", "apps")
             for file in (root / base).rglob("*") if file.suffix in SOURCES}
    faults, graph = [], {}
    for path in sorted(files):
        found, targets = faults_of(path, (root / path).read_text(encoding="utf-8"), files)
        faults += found
        # The header of a template and its body include each other on purpose, guarded by #pragma once.
        graph[path] = {target for target in targets if os.path.splitext(target)[0] != os.path.splitext(path)[0]}
    if found := circle(graph):
        faults.append("a circle: " + " -> ".join(found))
    for fault in faults:
        print(fault)
    print(f"{len(files)} files, {len(faults)} faults")
    return 1 if faults or not files else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
