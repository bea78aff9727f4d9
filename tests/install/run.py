#!/usr/bin/env python3
"""Installs wsserver into a folder of its own and builds a foreign program against it, as a stranger would, or runs
the installed wsd and wsd-ctl.

The tree is installed below a DESTDIR, so it does not stand where its prefix says: the pkg-config file and the
CMake config must find everything relative to themselves.

usage: run.py meson|cmake|pkg-config|programs BUILD_ROOT LIBDIR MESON COMPILER-COMMAND
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

FOREIGN = Path(__file__).resolve().parent / "foreign"
# What the foreign program prints when it has linked, run and talked.
EXPECTED = "hello, installed tree\n"


def run(*words, **options):
    print("+", *words, flush=True)
    return subprocess.run([str(word) for word in words], check=True, **options)


def with_meson(source, build, compiler, meson):
    run(meson, "setup", "--wrap-mode=nodownload", build, source)
    run(meson, "compile", "-C", build)
    return build / "foreign"


def with_cmake(source, build, compiler, _):
    run("cmake", "-S", source, "-B", build, f"-DCMAKE_PREFIX_PATH={os.environ['FOREIGN_PREFIX']}")
    run("cmake", "--build", build)
    return build / "foreign"


def with_pkg_config(source, build, compiler, _):
    flags = run("pkg-config", "--cflags", "--libs", "wsserver", stdout=subprocess.PIPE, text=True).stdout.split()
    build.mkdir()
    run(compiler, "-std=c++20", source / "foreign.cpp", "-o", build / "foreign", *flags)
    return build / "foreign"


def run_programs(prefix):
    """They find the library in the tree that was moved, and each other's words."""
    os.environ.pop("LD_LIBRARY_PATH", None)
    for name in ("wsd", "wsd-ctl"):
        (program,) = prefix.rglob(f"bin/{name}")
        run(program, "--version")
    assert list(prefix.rglob("wsd.1*")) and list(prefix.rglob("wsd-ctl.1*")), "the manuals are not there"


WAYS = {"meson": with_meson, "cmake": with_cmake, "pkg-config": with_pkg_config}


def main(way, build_root, libdir, meson, *compiler_words):
    with tempfile.TemporaryDirectory(prefix="wsserver-install-") as folder:
        room = Path(folder)
        run(meson, "install", "-C", build_root, "--no-rebuild", "--quiet", "--tags", "devel,runtime,man", "--destdir",
            room / "installed")
        (config,) = (room / "installed").rglob("wsserver.pc")
        libraries = config.parent.parent
        assert str(libraries).endswith(libdir), f"installed to {libraries}, not to {libdir}"
        prefix = Path(str(libraries).removesuffix("/" + libdir))

        if way == "programs":
            run_programs(prefix)
            return

        compiler = compiler_words[-1]  # before it may stand ccache
        os.environ["CXX"] = compiler
        os.environ["PKG_CONFIG_PATH"] = str(config.parent)
        os.environ["FOREIGN_PREFIX"] = str(prefix)
        os.environ["LD_LIBRARY_PATH"] = str(libraries)
        source = room / "source"  # a copy: nothing of our tree may be found by accident
        shutil.copytree(FOREIGN, source)

        program = WAYS[way](source, room / "build", compiler, meson)
        answer = run(program, stdout=subprocess.PIPE, text=True).stdout
        assert answer == EXPECTED, f"the program said {answer!r}"
        print(answer, end="")


if __name__ == "__main__":
    main(*sys.argv[1:])
