#!/usr/bin/env python3
"""Checks the text of the tree: no notes to ourselves, no paths of one machine, no blanks at the ends of lines.

usage: words.py SOURCE_ROOT
"""

import os
import re
import sys
from pathlib import Path

# In corpus/ are inputs of the fuzz targets, which may have any bytes.
SKIPPED = {".git", ".cache", "node_modules", "__pycache__", "packagecache", "corpus"}
TEXT = {".hpp", ".ipp", ".cpp", ".h", ".c", ".py", ".sh", ".md", ".build", ".txt", ".toml", ".html", ".js", ".mjs", ".php",
        ".pl", ".wrap", ".conf", ".service", ".in", ".json", ".1", ".5", ".cmake", ".yml", ""}

# Written in pieces, so that this file passes its own check.
RULES = [
    (re.compile(r"\b(" + "|".join(["TO" "DO", "FIX" "ME", "XX" "X", "HA" "CK"]) + r")\b"),
     "a note to ourselves: do it, or remove it"),
    (re.compile(r"(?i)\bissues?\s*#?\d+\b"), "a number that means nothing to a reader of the tree"),
    (re.compile("/" r"work/(main|shared)|" "/" r"tmp/build"), "a path of one machine"),
    (re.compile(r"^(<<<<<<<|>>>>>>>) "), "an unresolved conflict"),
    (re.compile(r"[ \t]+$"), "blanks at the end of the line"),
]


def files(root):
    for folder, folders, names in os.walk(root):
        here = Path(folder)
        folders[:] = sorted(f for f in folders if f not in SKIPPED
                            and not (here == root and f.startswith("build"))
                            and not (here == root / "subprojects"))
        for name in sorted(names):
            file = here / name
            if name not in SKIPPED and file.suffix in TEXT and not file.is_symlink():
                yield file


def main(root):
    faults = checked = 0
    for file in files(root):
        try:
            text = file.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            continue  # a binary sample
        checked += 1
        where = file.relative_to(root)
        for number, line in enumerate(text.split("\n"), 1):
            for rule, why in RULES:
                if found := rule.search(line):
                    faults += 1
                    print(f"{where}:{number}: '{found.group().strip()}': {why}")
        if text and not text.endswith("\n"):
            faults += 1
            print(f"{where}: does not end with a newline")
    print(f"{checked} files, {faults} faults")
    return 1 if faults or not checked else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
