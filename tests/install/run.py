#!/usr/bin/env python3
"""Installs wsserver into a folder and builds a foreign program with it, as a user would, or runs the installed wsd and
wsd-ctl.

The tree is installed below a DESTDIR, so it is not at its prefix. The pkg-config file and the CMake config must find
everything relative to themselves.

usage: run.py meson|cmake|pkg-config|programs BUILD_ROOT LIBDIR MESON COMPILER-COMMAND
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

FOREIGN = Path(__file__).resolve().parent / "foreign"
# The foreign program prints this after it has sent a message through a server.
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
    """The installed programs find the library in the moved tree, and the manuals are installed."""
    os.environ.pop("LD_LIBRARY_PATH", None)
    for name in ("wsd", "wsd-ctl"):
        (program,) = prefix.rglob(f"bin/{name}")
        run(program, "--version")
    assert list(prefix.rglob("wsd.1*")) and list(prefix.rglob("wsd-ctl.1*")), "the manuals are missing"


WAYS = {"meson": with_meson, "cmake": with_cmake, "pkg-config": with_pkg_config}


def main(way, build_root, libdir, meson, *compiler_words):
    with tempfile.TemporaryDirectory(prefix="wsserver-install-") as folder:
        work = Path(folder)
        run(meson, "install", "-C", build_root, "--no-rebuild", "--quiet", "--tags", "devel,runtime,man", "--destdir",
            work / "installed")
        (config,) = (work / "installed").rglob("wsserver.pc")
        libraries = config.parent.parent
        assert str(libraries).endswith(libdir), f"installed to {libraries}, not to {libdir}"
        prefix = Path(str(libraries).removesuffix("/" + libdir))

        if way == "programs":
            run_programs(prefix)
            return

        compiler = compiler_words[-1]  # ccache may come before it
        os.environ["CXX"] = compiler
        os.environ["PKG_CONFIG_PATH"] = str(config.parent)
        os.environ["FOREIGN_PREFIX"] = str(prefix)
        os.environ["LD_LIBRARY_PATH"] = str(libraries)
        source = work / "source"  # a copy, so that nothing of our tree is found by accident
        shutil.copytree(FOREIGN, source)

        program = WAYS[way](source, work / "build", compiler, meson)
        answer = run(program, stdout=subprocess.PIPE, text=True).stdout
        assert answer == EXPECTED, f"the program printed {answer!r}"
        print(answer, end="")


if __name__ == "__main__":
    main(*sys.argv[1:])
