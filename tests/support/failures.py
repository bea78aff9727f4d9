#!/usr/bin/env python3
"""Prints what the failed tests of a run said, the last of it: what one needs where only the end of a log is kept.

usage: failures.py LOG      (the JSON log of meson test)
"""

import json
import sys
from pathlib import Path

LINES = 40


def main() -> None:
    for line in Path(sys.argv[1]).read_text(errors="replace").splitlines():
        try:
            test = json.loads(line)
        except json.JSONDecodeError:
            continue  # the run was broken off in the middle of a line
        if test["result"] in ("OK", "EXPECTEDFAIL", "SKIP"):
            continue
        print(f"--- failed: {test['name']}: {test['result']}, exit code {test['returncode']}, "
              f"{test['duration']:.1f} s; the end of what it said:")
        said = (test.get("stdout", "") + test.get("stderr", "")).splitlines()
        print("\n".join(said[-LINES:]))


if __name__ == "__main__":
    main()
