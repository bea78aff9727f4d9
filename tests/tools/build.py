#!/usr/bin/env python3
"""Configures the build folder if need be, and builds.

usage: build.py [TARGET...]     builds everything, or these targets
       build.py --jobs          prints how many compilers run at the same time

DEV_BUILD, DEV_SETUP and DEV_JOBS are those of ./dev.
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = Path(os.environ.get("DEV_BUILD") or "build/dev")

# A unit that includes Asio takes about this much memory, in KiB.
UNIT_MEMORY = 1200 * 1024


def say(text):
    print(f"dev: {text}", file=sys.stderr, flush=True)


def die(text):
    say(text)
    sys.exit(1)


def cores():
    return len(os.sched_getaffinity(0))


def jobs():
    """How many compilers or tests run at the same time: one for each core, fewer if memory is short."""
    if told := os.environ.get("DEV_JOBS"):
        if not re.fullmatch("[1-9][0-9]*", told):
            die(f"DEV_JOBS is not a number above 0: {told}")
        return int(told)
    available = re.search(r"^MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    if not available:
        return 1
    return max(1, min(cores(), int(available[1]) // UNIT_MEMORY))


def call(command, **options):
    """Runs a command to its end and returns its exit code. Ctrl-C is left to the command, which cleans up."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        return subprocess.run(command, **options).returncode
    finally:
        signal.signal(signal.SIGINT, before)


def quietly(what, command):
    """Runs a command and shows what it says only if it fails."""
    say(what)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    if done.returncode:
        sys.stderr.write(done.stdout)
        die(f"meson setup failed; more in {BUILD}/meson-logs/meson-log.txt")


def configure():
    manifest, packages = BUILD / "build.ninja", Path("/var/lib/dpkg/status")
    if not manifest.exists():
        quietly(f"configuring {BUILD}", ["meson", "setup", *os.environ.get("DEV_SETUP", "").split(), BUILD, ROOT])
    elif packages.exists() and packages.stat().st_mtime > manifest.stat().st_mtime:
        # A package installed since then may bring further tests: node, cmake.
        quietly(f"configuring {BUILD} again, as packages have changed", ["meson", "setup", "--reconfigure", BUILD])


def build(targets=()):
    """Builds the targets; ends the program if that fails."""
    configure()
    command = ["ninja", "-j", str(jobs()), *targets]
    if call(command, cwd=BUILD, stdout=sys.stderr):
        die("the build failed")


def main(words):
    if words == ["--jobs"]:
        print(jobs())
    elif options := [word for word in words if word.startswith("-")]:
        die(f"unknown option: {options[0]}")
    else:
        build(words)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
