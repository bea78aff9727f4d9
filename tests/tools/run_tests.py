#!/usr/bin/env python3
"""Builds what the tests need, runs them with meson test, shows what the failed ones said, and counts.

usage: run_tests.py [--repeat N] [SUITE | TEST]...      all tests if none is named

The last line is "N passed, N failed", and ", N skipped" if any were. The exit code is 0 if none failed.
DEV_WRAPPER is that of ./dev; see build.py for the others.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from build import BUILD, build, call, configure, jobs, say

# The suites that have a name here, and the target that each needs: all of them, or none.
SUITES = {
    "unit": "unit-tests",
    "threads": "threads-tests",
    "headers": "tests/headers/headers",
    "compile": None,
    "fuzz": "fuzz-tests",
    "simulate": "tests/simulate/simulate",
    "lint": None,
    "install": "all",
    "system": "all",
    "faults": "all",
}
QUICK = ("unit", "lint", "headers", "compile")

GOOD = ("OK", "EXPECTEDFAIL")
# Lines shown of what a failed test said.
LINES = 40


def targets_of(name):
    """What ninja has to build for the tests of this name. A test that isn't in a quick suite may need anything."""
    tests, programs = (json.loads((BUILD / "meson-info" / f"intro-{what}.json").read_text())
                       for what in ("tests", "targets"))
    tests = [test for test in tests if test["name"] == name]
    if not tests or any(suite.split(":")[-1] not in (*QUICK, "threads") for test in tests for suite in test["suite"]):
        return {"all"}
    needed = {program for test in tests for program in test["depends"]}
    return {os.path.relpath(file, BUILD.resolve()) for program in programs if program["id"] in needed
            for file in program["filename"]}


def prepare(names):
    """Installs and builds what these tests need."""
    targets = {"all"}
    if names:
        configure()
        targets = set().union(*({SUITES[name]} if name in SUITES else targets_of(name) for name in names)) - {None}
    if "all" not in targets:
        if targets:
            build(sorted(targets), "the tests")
        return
    subprocess.run(["tests/tools/install-packages", "test", "npm"], check=True)
    if os.environ.get("DEV_INSTALL") != "no":
        # Everything is there, so a test that finds nothing to run with has failed.
        os.environ["WSSERVER_TEST_STRICT"] = "1"
    build()


def runs(names):
    """The words for each run of meson test, by the name of its log."""
    if not names:  # the quick ones first
        return {
            "quick": [word for suite in QUICK for word in ("--suite", suite)],
            "rest": [word for suite in QUICK for word in ("--no-suite", suite)],
        }
    suites = [word for name in names if name in SUITES for word in ("--suite", name)]
    tests = [name for name in names if name not in SUITES]
    return {log: words for log, words in {"suites": suites, "names": tests}.items() if words}


def read_log(path):
    """The tests in a JSON log of meson test, which has one a line."""
    tests = []
    for line in path.read_text(errors="replace").splitlines() if path.exists() else []:
        try:
            tests.append(json.loads(line))
        except json.JSONDecodeError:
            continue  # meson was ended in the middle of a line
    return tests


def run(log, words):
    """Runs meson test once. Returns its tests, and what is wrong with the run as a whole, or None."""
    path = BUILD / "meson-logs" / f"{log}.json"
    path.unlink(missing_ok=True)
    # The wrapper is not given as --wrapper, which changes the log's name. What it sets (setarch) the tests inherit.
    command = [*os.environ.get("DEV_WRAPPER", "").split(), "meson", "test", "-C", BUILD, "--no-rebuild",
               "--num-processes", str(jobs()), "--logbase", log, *words]
    status = call(command)
    tests = read_log(path)
    if not tests:
        return tests, f"meson test ran no test, exit code {status}"
    if status and all(test["result"] in (*GOOD, "SKIP") for test in tests):
        return tests, f"meson test ended with exit code {status}, but no test failed"
    return tests, None


def show_failure(test):
    """Prints the end of what a failed test said: often only the end of a log is kept."""
    print(f"--- failed: {test['name']}: {test['result']}, exit code {test['returncode']}, "
          f"{test['duration']:.1f} s; the end of what it said:")
    said = (test.get("stdout", "") + test.get("stderr", "")).splitlines()
    print("\n".join(said[-LINES:]))


def main(words):
    repeat = []
    if words[:1] == ["--repeat"]:
        repeat, words = words[:2], words[2:]
    prepare(words)
    tests, faults = [], []
    for log, rest in runs(words).items():
        ran, fault = run(log, repeat + rest)
        tests += ran
        faults += [fault] if fault else []
        if any(test["result"] == "INTERRUPT" for test in ran):
            break
    skipped = [test for test in tests if test["result"] == "SKIP"]
    bad = [test for test in tests if test["result"] not in (*GOOD, "SKIP")]
    for test in bad:
        show_failure(test)
    for fault in faults:
        say(fault)
    failed = len(bad) + len(faults)
    print(f"{len(tests) - len(bad) - len(skipped)} passed, {failed} failed"
          + (f", {len(skipped)} skipped" if skipped else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")  # a test may print any bytes
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
