#!/usr/bin/env python3
"""Checks that `./dev test` counts what its tests did, under a wrapper too: on a project of its own with two tests.

usage: dev.py SOURCE_ROOT
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = """
project('small')
target = custom_target(output: 'unit-tests', command: ['touch', '@OUTPUT@'])
shell = find_program('sh')
test('good', shell, args: ['-c', 'exit 0'], suite: 'unit')
test('wrapped', shell, args: ['-c', 'test "$WRAPPED" = yes || { echo not wrapped; exit 1; }'], suite: 'unit')
"""

# What DEV_WRAPPER is: how what `./dev test unit` says ends, whether it succeeds.
CASES = {
    "": ("the end of what it said:\nnot wrapped\n1 passed, 1 failed", False),
    "env WRAPPED=yes": ("\n2 passed, 0 failed", True),
}


def main() -> None:
    dev = Path(sys.argv[1]).resolve() / "dev"
    faults = 0
    with tempfile.TemporaryDirectory() as folder:
        project, build = Path(folder, "project"), Path(folder, "build")
        project.mkdir()
        (project / "meson.build").write_text(PROJECT)
        subprocess.run(["meson", "setup", build, project], check=True, stdout=subprocess.DEVNULL)
        for wrapper, (line, good) in CASES.items():
            env = os.environ | {"DEV_BUILD": str(build), "DEV_INSTALL": "no", "DEV_WRAPPER": wrapper}
            run = subprocess.run([dev, "test", "unit"], env=env, text=True, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT)
            if not run.stdout.endswith(f"{line}\n") or (run.returncode == 0) != good:
                faults += 1
                print(f"with DEV_WRAPPER='{wrapper}' not '{line}', but exit code {run.returncode} and:\n{run.stdout}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
