#!/usr/bin/env python3
"""Checks that CMakeLists.txt has the version and the units that Meson's files have, and that src/ has no others.

usage: cmake.py SOURCE_ROOT
"""

import re
import sys
from pathlib import Path


def only(pattern, text, what):
    (found,) = re.findall(pattern, text, re.MULTILINE | re.DOTALL) or [None]
    assert found, f"no {what} was found"
    return found


def main(root):
    meson = (root / "meson.build").read_text(encoding="utf-8")
    cmake = (root / "CMakeLists.txt").read_text(encoding="utf-8")
    units = only(r"^wsserver_units = \{(.*?)^\}", (root / "src/meson.build").read_text(encoding="utf-8"), "list of units")
    said = {
        "version": (only(r"^  version: '([\d.]+)'", meson, "version"),
                    only(r"^project\(wsserver VERSION ([\d.]+)", cmake, "version")),
        "units": (sorted(re.findall(r"^  '(\w+)':", units, re.MULTILINE)), sorted(re.findall(r"src/(\w+)\.cpp", cmake))),
        "files of src/": (sorted(file.stem for file in (root / "src").glob("*.cpp")),
                          sorted(re.findall(r"src/(\w+)\.cpp", cmake))),
    }
    faults = [f"{what}: Meson or the folder has {ours}, CMakeLists.txt has {theirs}"
              for what, (ours, theirs) in said.items() if ours != theirs]
    print("\n".join(faults) or f"{len(said['units'][0])} units, version {said['version'][0]}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
