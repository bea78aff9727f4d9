"""Reads ninja's log: how long each unit took when it was compiled last."""

from pathlib import Path

OBJECTS = (".o", ".obj", ".gch", ".pch")


def read(build):
    """The seconds of each object file that the build folder has, by its name there. Empty if nothing was built.

    ninja logs the time from start to end by the clock, in milliseconds. It grows when more compilers run than there
    are cores, and is next to nothing for a unit that ccache had.
    """
    log = Path(build, ".ninja_log")
    if not log.exists():
        return {}
    seconds = {}
    # Versions 5 to 7: start, end, mtime, output, hash. A later line of the same output replaces an earlier one.
    for line in log.read_text(errors="replace").splitlines():
        fields = line.split("\t")
        if len(fields) == 5 and fields[3].endswith(OBJECTS):
            seconds[fields[3]] = (int(fields[1]) - int(fields[0])) / 1000
    return {output: taken for output, taken in seconds.items() if Path(build, output).exists()}
