#!/usr/bin/env python3
"""Builds and runs programs that include headers and one src.hpp and link no library of ours.

usage: consume.py CASE SOURCE_ROOT COMPILER...

protocol     both ends of the protocol: the include folder, no library, no header of others
connection   connections over the network in memory: no Asio, no liburing, no fmt
server       a server and a client with all bodies in one unit, without warnings
two-units    src.hpp in two units: the linker refuses
linked       any src.hpp in a program that links the library: the compiler refuses and says what to do
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]
OTHERS = re.compile(r"/(boost|openssl|fmt)/|liburing")
# Beast's parser reads Asio's buffers.
SOCKETS = re.compile(r"/boost/asio/(io_context|ip/|posix/)|/fmt/|liburing")
# What the foreign program of tests/install prints.
EXPECTED = "hello, installed tree\n"


class Consumer:
    def __init__(self, root, compiler, folder):
        self.root, self.compiler, self.folder = root, compiler, folder

    def compiled(self, *words):
        """Runs the compiler, at its language's C++20 and in plain English."""
        command = [*self.compiler, "-std=c++20", "-O0", "-I", self.root / "include", *words]
        print("+", *command, flush=True)
        return subprocess.run([str(word) for word in command], capture_output=True, text=True,
                              env={**os.environ, "LC_ALL": "C"})

    def succeeds(self, *words):
        done = self.compiled(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def compile(self, source, *options):
        """An object file, and the headers that were read for it."""
        made, headers = self.folder / (source.stem + ".o"), self.folder / (source.stem + ".d")
        self.succeeds(*WARNINGS, "-MD", "-MF", headers, "-c", source, "-o", made, *options)
        return made, headers.read_text(encoding="utf-8").split()

    def run(self, objects, *libraries):
        program = self.folder / "program"
        self.succeeds(*objects, "-o", program, "-pthread", *libraries)
        return subprocess.run([program], check=True, stdout=subprocess.PIPE, text=True, timeout=60).stdout


def flags_of(what, *packages):
    return subprocess.run(["pkg-config", what, *packages], check=True, stdout=subprocess.PIPE, text=True).stdout.split()


def without(headers, unwanted):
    assert any(header.endswith("wsserver/base/bytes.hpp") for header in headers), headers
    found = [header for header in headers if unwanted.search(header)]
    assert not found, "reads what it should not need:\n" + "\n".join(found)


def protocol(consumer):
    main, headers = consumer.compile(HERE / "protocol.cpp")
    without(headers, OTHERS)
    second, headers = consumer.compile(HERE / "second_unit.cpp")
    without(headers, OTHERS)
    assert consumer.run([main, second]) == "done\n"


def connection(consumer):
    main, headers = consumer.compile(HERE / "connection.cpp")
    without(headers, SOCKETS)
    assert consumer.run([main], "-lcrypto") == "done\n"


def server(consumer):
    packages = ["openssl", "fmt"]
    if subprocess.run(["pkg-config", "--exists", "liburing"], check=False).returncode == 0:
        packages.append("liburing")
    flags = flags_of("--cflags", *packages)
    objects = [consumer.compile(source, *flags)[0]
               for source in (HERE / "bodies.cpp", consumer.root / "tests/install/foreign/foreign.cpp")]
    assert consumer.run(objects, "-ldl", *flags_of("--libs", *packages)) == EXPECTED


def two_units(consumer):
    objects = [consumer.compile(HERE / name, "-DSRC_IN_BOTH_UNITS")[0] for name in ("protocol.cpp", "second_unit.cpp")]
    done = consumer.compiled(*objects, "-o", consumer.folder / "program")
    assert done.returncode != 0, "two units may both include src.hpp"
    assert re.search("multiple definition|duplicate symbol", done.stderr), done.stderr


def linked(consumer):
    include = consumer.root / "include"
    bodies = sorted(include.rglob("*src.hpp"))
    assert len(bodies) > 10, bodies
    for header in bodies:
        unit = consumer.folder / "unit.cpp"
        unit.write_text(f"#include <{header.relative_to(include)}>\n", encoding="utf-8")
        done = consumer.compiled("-DWSSERVER_LINKED", "-Wfatal-errors", "-fsyntax-only", unit)
        assert done.returncode != 0, f"{header} may be included in a program that links the library"
        assert "link the library or include src.hpp, not both" in done.stderr, done.stderr


CASES = {case.__name__.replace("_", "-"): case for case in (protocol, connection, server, two_units, linked)}


def main(case, root, *compiler):
    with tempfile.TemporaryDirectory(prefix="wsserver-consume-") as folder:
        CASES[case](Consumer(Path(root), compiler, Path(folder)))


if __name__ == "__main__":
    main(*sys.argv[1:])
