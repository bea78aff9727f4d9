#!/usr/bin/env python3
"""Runs clang-tidy on the units of src/ and apps/ and on the headers that they include.

usage: tidy.py BUILD_ROOT [JOBS]
"""

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
FINDING = re.compile(r"^\S+:\d+:\d+: (error|warning): ", re.MULTILINE)


def findings_of(build, file):
    """The findings of clang-tidy in one unit and its headers, one text per finding."""
    done = subprocess.run(["clang-tidy", "-p", build, "--quiet", str(file)], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return []
    starts = [match.start() for match in FINDING.finditer(done.stdout)]
    if not starts:
        return [f"{file}: clang-tidy failed:\n{done.stdout}{done.stderr}"]
    return [done.stdout[start:end] for start, end in zip(starts, starts[1:] + [None])]


def main(build, jobs=1):
    units = json.loads((Path(build) / "compile_commands.json").read_text(encoding="utf-8"))
    files = sorted({(Path(unit["directory"]) / unit["file"]).resolve() for unit in units})
    files = [file for file in files if file.suffix == ".cpp" and file.is_relative_to(ROOT)
             and file.relative_to(ROOT).parts[0] in ("src", "apps")]
    seen = set()  # a finding in a header is repeated for each unit that includes it
    with ThreadPoolExecutor(jobs) as pool:
        for findings in pool.map(lambda file: findings_of(build, file), files):
            for finding in findings:
                finding = re.sub(r"^\S*?(?=(include|src|apps)/)", "", finding)
                if finding not in seen:
                    seen.add(finding)
                    print(finding, flush=True)
    print(f"{len(files)} units, {len(seen)} findings")
    return 1 if seen or not files else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:])))
