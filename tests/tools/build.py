#!/usr/bin/env python3
"""Configures the build folder if need be, says how long the build will take, and builds.

usage: build.py [--name NAME] [TARGET...]     builds everything, or these targets; NAME is what to call them
       build.py --times                       builds nothing, lists the units that took longest
       build.py --jobs                        prints how many compilers run at the same time

DEV_BUILD, DEV_SETUP and DEV_JOBS are those of ./dev.
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import ninja_log

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = Path(os.environ.get("DEV_BUILD") or "build/dev")

# For a unit that ninja's log doesn't have yet: the mean of all units with g++ 12 -O2 -g. One with Asio takes 8 s, one with
# CLI11 20 s.
UNIT_SECONDS = 5
# Units that --times lists.
LONGEST = 20
# A unit that includes Asio takes about this much memory, in KiB.
UNIT_MEMORY = 1200 * 1024

UNIT = re.compile(r"^\[\d+/\d+\] (?:Compiling \S+ object|Precompiling header) (\S+)", re.MULTILINE)


def say(text):
    print(f"dev: {text}", file=sys.stderr, flush=True)


def die(text):
    say(text)
    sys.exit(1)


def cores():
    return len(os.sched_getaffinity(0))


def jobs():
    """How many compilers or tests run at the same time: one for each core, fewer if memory is short."""
    if chosen := os.environ.get("DEV_JOBS"):
        if not re.fullmatch("[1-9][0-9]*", chosen):
            die(f"DEV_JOBS is not a number above 0: {chosen}")
        return int(chosen)
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
    elif dry_run(["build.ninja"]):
        # ninja would do this anyway. Until it is done, a dry run sees nothing else.
        quietly(f"configuring {BUILD} again, as build files have changed", ["ninja", "-C", BUILD, "build.ninja"])


def dry_run(targets):
    """What ninja would do, a step a line; None if it can't tell."""
    done = subprocess.run(["ninja", "-n", *targets], cwd=BUILD, capture_output=True, text=True,
                          env=os.environ | {"NINJA_STATUS": "[%f/%t] "})
    if done.returncode:
        return None
    return [line for line in done.stdout.splitlines() if line.startswith("[")]


def estimate(units, known, workers):
    """Seconds until these units are compiled, by how long each took last time."""
    times = [known.get(unit, UNIT_SECONDS) for unit in units]
    return max(sum(times) / workers, *times)


def announcement(name, units, known, workers):
    seconds = round(estimate(units, known, workers))
    if seconds < 100:
        duration = f"{max(seconds, 1)} s"
    else:
        duration = f"{round(seconds / 60)} min"
    return (f"building {name}: {len(units)} unit{'s' * (len(units) > 1)}, "
            f"about {duration} on {workers} core{'s' * (workers > 1)}")


def build(targets=(), name=None):
    """Builds the targets; ends the program if that fails. Says nothing if there is nothing to build."""
    configure()
    steps, workers = dry_run(targets), jobs()
    if steps == []:
        return
    if units := UNIT.findall("\n".join(steps or [])):
        say(announcement(name or " and ".join(targets) or "everything", units, ninja_log.read(BUILD),
                         min(workers, cores())))
    command = ["ninja", "-j", str(workers), *targets]
    # On a terminal ninja keeps to one line. Elsewhere each step would be a line, so show only errors (ninja 1.11).
    options = subprocess.run(["ninja", "--help"], capture_output=True, text=True).stderr
    if not sys.stderr.isatty() and "--quiet" in options:
        command.insert(1, "--quiet")
    if call(command, cwd=BUILD, stdout=sys.stderr, env={"NINJA_STATUS": "[%f/%t, %e s] "} | os.environ):
        die("the build failed")


def show_times():
    known = ninja_log.read(BUILD)
    if not known:
        die(f"nothing is built yet in {BUILD}")
    longest = sorted(known.items(), key=lambda unit: -unit[1])[:LONGEST]
    for unit, seconds in longest:
        print(f"{seconds:8.1f} s  {unit}")
    print(f"{sum(known.values()):8.1f} s  all {len(known)} units, each as it was compiled last")
    print("Seconds by the clock, from ninja's log: more if compilers had to share a core, next to none if ccache had "
          "the unit.")


def main(words):
    if words == ["--times"]:
        show_times()
    elif words == ["--jobs"]:
        print(jobs())
    elif words[:1] == ["--name"] and len(words) > 1:
        build(words[2:], words[1])
    elif options := [word for word in words if word.startswith("-")]:
        die(f"unknown option: {options[0]}")
    else:
        build(words)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
