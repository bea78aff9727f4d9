#!/usr/bin/env python3
"""Builds a foreign program as a stranger would: against the installed library, or with the library as a part of
itself. Or runs the installed wsd and wsd-ctl.

The library is installed below a DESTDIR, so the tree is not where its prefix says: the pkg-config file and the CMake
config must find everything relative to themselves.

usage: run.py meson|cmake|pkg-config|programs|subproject|fetched|subdirectory BUILD_ROOT LIBDIR MESON COMPILER...

subproject    by Meson with the wrap; what it then installs also links with -static
fetched       by CMake's FetchContent
subdirectory  by CMake's add_subdirectory, with the headers alone
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FOREIGN = HERE / "foreign"
# What the foreign program prints when it has linked, run and talked.
EXPECTED = "hello, installed tree\n"


def run(*words, **options):
    print("+", *words, flush=True)
    return subprocess.run([str(word) for word in words], check=True, **options)


def flags_of(*words):
    return run("pkg-config", *words, stdout=subprocess.PIPE, text=True).stdout.split()


def with_meson(source, build, compiler, meson):
    run(meson, "setup", "--wrap-mode=nodownload", build, source)
    run(meson, "compile", "-C", build)
    return build / "foreign"


def with_cmake(source, build, compiler, _):
    run("cmake", "-S", source, "-B", build, f"-DCMAKE_PREFIX_PATH={os.environ['FOREIGN_PREFIX']}")
    run("cmake", "--build", build)
    return build / "foreign"


def with_pkg_config(source, build, compiler, _):
    flags = flags_of("--cflags", "--libs", "wsserver")
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


def as_subproject(room, meson, compiler, libdir):
    """A static build; the wrap's own download is replaced by a copy of what Meson needs of the tree."""
    source, build = room / "source", room / "build"
    shutil.copytree(FOREIGN, source)
    copy = source / "subprojects" / "wsserver"
    copy.mkdir(parents=True)
    shutil.copy(ROOT / "packaging" / "wsserver.wrap", copy.parent)
    for name in ("include", "src", "packaging"):
        shutil.copytree(ROOT / name, copy / name)
    for name in ("meson.build", "meson_options.txt"):
        shutil.copy(ROOT / name, copy)
    run(meson, "setup", "--wrap-mode=nodownload", "--force-fallback-for=wsserver", "-Dbuildtype=plain",
        "-Ddefault_library=static", "-Dpkgconfig.relocatable=true", "-Dlibdir=" + libdir, build, source)
    run(meson, "compile", "-C", build)
    says_hello(build / "foreign")

    run(meson, "install", "-C", build, "--no-rebuild", "--quiet", "--destdir", room / "installed")
    (config,) = (room / "installed").rglob("wsserver.pc")
    os.environ["PKG_CONFIG_PATH"] = str(config.parent)
    flags = flags_of("--static", "--cflags", "--libs", "wsserver")
    for name in ("libc.a", "libcrypto.a"):
        asked = run(*compiler, "-print-file-name=" + name, stdout=subprocess.PIPE, text=True).stdout.strip()
        if not Path(asked).is_absolute():
            print(f"{name} is not here: nothing to link with -static")
            return
    run(*compiler, "-std=c++20", "-static", source / "foreign.cpp", "-o", room / "static", *flags)
    says_hello(room / "static")


def with_cmake_in(room, compiler, sources, *options):
    """Without a network."""
    source, build = room / "source", room / "build"
    source.mkdir()
    for file in sources:
        shutil.copy(file, source)
    launcher = [f"-DCMAKE_CXX_COMPILER_LAUNCHER={word}" for word in compiler[:-1]]
    run("cmake", "-S", source, "-B", build, "-DFETCHCONTENT_FULLY_DISCONNECTED=ON", *launcher, *options)
    run("cmake", "--build", build)
    return build / "foreign"


def fetched(room, _, compiler, __):
    says_hello(with_cmake_in(room, compiler, [HERE / "fetched" / "CMakeLists.txt", FOREIGN / "foreign.cpp"],
                             f"-DFETCHCONTENT_SOURCE_DIR_WSSERVER={ROOT}", "-DCMAKE_UNITY_BUILD=ON",
                             "-DCMAKE_UNITY_BUILD_BATCH_SIZE=0"))  # all units as one, which is cheaper


def subdirectory(room, _, compiler, __):
    program = with_cmake_in(room, compiler, [HERE / "subdirectory" / "CMakeLists.txt", *(ROOT / "tests/consume").glob("*.cpp")],
                            f"-DWSSERVER_SOURCE={ROOT}")
    run(program)
    assert not list((room / "build").rglob("libwsserver*")), "the library was built for a program that does not use it"


def says_hello(program):
    answer = run(program, stdout=subprocess.PIPE, text=True).stdout
    assert answer == EXPECTED, f"the program said {answer!r}"
    print(answer, end="")


WAYS = {"meson": with_meson, "cmake": with_cmake, "pkg-config": with_pkg_config}
BUILT_IN = {"subproject": as_subproject, "fetched": fetched, "subdirectory": subdirectory}


def main(way, build_root, libdir, meson, *compiler_words):
    with tempfile.TemporaryDirectory(prefix="wsserver-install-") as folder:
        room = Path(folder)
        if way in BUILT_IN:
            os.environ["CXX"] = " ".join(compiler_words) if way == "subproject" else compiler_words[-1]
            BUILT_IN[way](room, meson, compiler_words, libdir)
            return

        run(meson, "install", "-C", build_root, "--no-rebuild", "--quiet", "--tags", "devel,runtime,man", "--destdir",
            room / "installed")
        (config,) = (room / "installed").rglob("wsserver.pc")
        libraries = config.parent.parent
        assert str(libraries).endswith(libdir), f"installed to {libraries}, not to {libdir}"
        prefix = Path(str(libraries).removesuffix("/" + libdir))

        if way == "programs":
            run_programs(prefix)
            return

        compiler = compiler_words[-1]  # ccache may precede it
        os.environ["CXX"] = compiler
        os.environ["PKG_CONFIG_PATH"] = str(config.parent)
        os.environ["FOREIGN_PREFIX"] = str(prefix)
        os.environ["LD_LIBRARY_PATH"] = str(libraries)
        source = room / "source"  # a copy: nothing of our tree may be found by accident
        shutil.copytree(FOREIGN, source)

        says_hello(WAYS[way](source, room / "build", compiler, meson))


if __name__ == "__main__":
    main(*sys.argv[1:])
