#!/usr/bin/env python3
"""Checks `./dev`: its commands, what `./dev test` counts, what a build prints, and `./dev build --times`.

It runs on a small project of its own, with one program and a few tests.

usage: dev.py SOURCE_ROOT
"""

import os
import pty
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = """
project('small', 'c')
program = executable('unit-tests', 'main.c')
shell = find_program('sh')
test('good', program, suite: 'unit')
test('wrapped', shell, args: ['-c', 'test "$WRAPPED" = yes || { echo not wrapped; exit 1; }'], suite: 'unit')
test('absent', shell, args: ['-c', 'exit 77'], suite: 'compile')
"""

FAILS_AFTERWARDS = '#!/bin/sh\n"$@"\nexit 3\n'

# The suite, DEV_WRAPPER ({} is the folder), the end of the output, whether ./dev succeeds.
COUNTS = [
    ("unit", "", "the end of what it said:\nnot wrapped\n1 passed, 1 failed", False),
    ("unit", "env WRAPPED=yes", "\n2 passed, 0 failed", True),
    ("compile", "", "\n0 passed, 0 failed, 1 skipped", True),
    # The run failed, but none of its tests.
    ("compile", "{}/fails-afterwards", "\n0 passed, 1 failed, 1 skipped", False),
    # This suite has no test.
    ("lint", "", "\n0 passed, 1 failed", False),
]

# The second time of b.o counts. Not listed: c.o, which no longer exists, and the program, which was linked.
NINJA_LOG = """# ninja log v5
0\t1500\t0\ta.o\tabc
0\t900\t0\tb.o\tabc
10\t2260\t0\tb.o\tabc
0\t9000\t0\tc.o\tabc
2260\t8000\t0\tprogram\tabc
"""
TIMES = """     2.2 s  b.o
     1.5 s  a.o
     3.8 s  all 2 units, each as it was compiled last
"""


def read_terminal(terminal):
    """Everything that was written to the other end, which is closed."""
    said = b""
    try:
        while True:
            said += os.read(terminal, 10000)
    except OSError:  # the end
        os.close(terminal)
    return said.decode()


class Dev:
    """./dev on the small project. Counts the faults."""

    def __init__(self, root, folder):
        self.command = root / "dev"
        self.folder = folder
        self.build = folder / "build"
        self.faults = 0

    def run(self, *words, wrapper="", build=None, stderr=subprocess.STDOUT):
        env = {name: value for name, value in os.environ.items() if not name.startswith(("DEV_", "NINJA_"))}
        env |= {"DEV_BUILD": str(build or self.build), "DEV_INSTALL": "no", "DEV_JOBS": "1", "DEV_WRAPPER": wrapper,
                "TERM": "xterm"}
        return subprocess.run([self.command, *words], env=env, text=True, stdout=subprocess.PIPE, stderr=stderr)

    def expect(self, what, good, run):
        if not good:
            self.faults += 1
            print(f"not true: {what}. Exit code {run.returncode}, output:\n{run.stdout}")

    def check_verbs(self):
        run = self.run("help")
        self.expect("help lists the commands", run.returncode == 0 and "  test [NAME...]  " in run.stdout, run)
        run = self.run("unknown")
        self.expect("an unknown command is wrong usage", run.returncode == 2 and run.stdout.startswith("usage: "), run)

    def check_progress(self):
        run = self.run("build")
        self.expect("a build prints how much there is to do, and nothing else if stderr is not a terminal",
                    run.stdout == "dev: building everything: 1 unit, about 5 s on 1 core\n", run)
        run = self.run("build")
        self.expect("a build with nothing to do prints nothing", run.returncode == 0 and run.stdout == "", run)
        (self.folder / "main.c").write_text("int main() { return 1 - 1; }\n")
        terminal, end = pty.openpty()
        run = self.run("build", stderr=end)
        os.close(end)
        run.stdout = read_terminal(terminal)
        self.expect("on a terminal a build shows its progress", "\r[2/2, " in run.stdout, run)
        (self.folder / "main.c").write_text("int main() { return wrong; }\n")
        run = self.run("build")
        self.expect("a build that fails shows the error",
                    run.returncode == 1 and "main.c:1:" in run.stdout and run.stdout.endswith("dev: the build failed\n"),
                    run)
        (self.folder / "main.c").write_text("int main() { return 0; }\n")

    def check_counts(self):
        for suite, wrapper, end, good in COUNTS:
            run = self.run("test", suite, wrapper=wrapper.format(self.folder))
            self.expect(f"test {suite} with DEV_WRAPPER='{wrapper}' ends with '{end}'",
                        run.stdout.endswith(f"{end}\n") and (run.returncode == 0) == good, run)

    def check_times(self):
        made_up = self.folder / "made-up"
        made_up.mkdir()
        run = self.run("build", "--times", build=made_up)
        self.expect("--times reports that nothing is built",
                    run.returncode == 1 and run.stdout == f"dev: nothing is built yet in {made_up}\n", run)
        (made_up / ".ninja_log").write_text(NINJA_LOG)
        for name in ("a.o", "b.o", "program"):
            (made_up / name).touch()
        run = self.run("build", "--times", build=made_up)
        self.expect(f"--times prints\n{TIMES}", run.returncode == 0 and run.stdout.startswith(TIMES), run)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "meson.build").write_text(PROJECT)
        (folder / "main.c").write_text("int main() { return 0; }\n")
        (folder / "fails-afterwards").write_text(FAILS_AFTERWARDS)
        (folder / "fails-afterwards").chmod(0o755)
        dev = Dev(Path(sys.argv[1]).resolve(), folder)
        subprocess.run(["meson", "setup", dev.build, folder], check=True, stdout=subprocess.DEVNULL)
        dev.check_verbs()
        dev.check_progress()
        dev.check_counts()
        dev.check_times()
    sys.exit(1 if dev.faults else 0)


if __name__ == "__main__":
    main()
