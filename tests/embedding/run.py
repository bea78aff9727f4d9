#!/usr/bin/env python3
"""Compiles and runs each program of docs/embedding.md and compares what it prints with the block that follows it.

usage: run.py DOCUMENT [--jobs N] -- COMPILER WORDS...    the words compile and link one file: add FILE -o PROGRAM
"""

import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PROGRAM = re.compile(r"^```cpp\n(// (\S+\.cpp).*?)^```\n\n```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)

LIBRARY = re.compile(r"^-(l|L|Wl,)|\.a$|\.so(\.\d+)*$")


def fault_of(folder, name, source, expected, compiler, words):
    """What is wrong with one program; nothing if it prints what the page says."""
    file, program = folder / name, folder / name.removesuffix(".cpp")
    file.write_text(source, encoding="utf-8")
    # Libraries come after what needs them.
    built = subprocess.run([*compiler, str(file), "-o", str(program), *words], capture_output=True, text=True, check=False)
    if built.returncode != 0 or "warning:" in built.stderr:
        return f"{name} does not compile without warnings:\n{built.stderr}"
    try:
        ran = subprocess.run([str(program)], capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return f"{name} does not end"
    if ran.returncode != 0 or ran.stdout != expected:
        return f"{name}: exit code {ran.returncode}\nwanted:\n{expected}printed:\n{ran.stdout}{ran.stderr}"
    return None


def main(document, *arguments):
    jobs = int(arguments[arguments.index("--jobs") + 1]) if "--jobs" in arguments else 2
    words = list(arguments[arguments.index("--") + 1:])
    libraries = [word for word in words if LIBRARY.search(word)]
    compiler = [word for word in words if word not in libraries]
    text = Path(document).read_text(encoding="utf-8")
    programs = PROGRAM.findall(text)
    faults = []
    if len(programs) != text.count("\n```cpp\n"):
        faults.append("each ```cpp block begins with `// NAME.cpp` and is followed by a ```text block with what it prints")
    with tempfile.TemporaryDirectory(prefix="wsserver-embedding-") as folder, ThreadPoolExecutor(jobs) as pool:
        results = pool.map(lambda found: fault_of(Path(folder), found[1], found[0], found[2], compiler, libraries), programs)
        faults += [fault for fault in results if fault]
    for fault in faults:
        print(fault)
    print(f"{len(programs)} programs, {len(faults)} faults")
    return 1 if faults or not programs else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
