#!/usr/bin/env python3
"""Checks that a compiler of an older language gets one plain error from each header, before any other.

usage: cpp20.py INCLUDE_FOLDER COMPILER...
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

EXPECTED = "wsserver needs C++20"
# An older compiler does not have these. (libstdc++ itself includes <bit> and <compare>.)
MISSING = ["barrier", "concepts", "coroutine", "latch", "ranges", "semaphore", "source_location", "span", "stop_token"]


def main(include, *compiler):
    headers = sorted(header for header in include.rglob("*.hpp")
                     if "detail" not in header.parts and not header.name.endswith("src.hpp"))
    assert len(headers) > 40, headers
    faults = 0
    with tempfile.TemporaryDirectory(prefix="wsserver-cpp20-") as folder:
        for name in MISSING:
            (Path(folder) / name).write_text(f"#error there is no <{name}>\n", encoding="utf-8")
        unit = Path(folder) / "unit.cpp"
        for header in headers:
            unit.write_text(f"#include <{header.relative_to(include)}>\n", encoding="utf-8")
            done = subprocess.run([*compiler, "-std=c++17", "-Wfatal-errors", "-E", "-I", folder, "-I",
                                   include, unit], capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
            if done.returncode == 0 or EXPECTED not in done.stderr:
                print(f"{header}: {done.stderr or 'compiled'}")
                faults += 1
    print(f"{len(headers)} headers, {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
