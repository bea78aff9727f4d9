#!/usr/bin/env python3
"""Installs wsd below a DESTDIR and runs the steps of docs/operating.md there, with systemd's own tools: they check the
unit, create the user and the folders, and enable the service. Then wsd starts with the unit's own command line.

Runs them for the prefix of the build and for /usr. Creating users and folders needs root.

usage: service.py BUILD_ROOT MESON
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SKIPPED = 77  # the exit code that Meson shows as SKIP
TOOLS = ["systemctl", "systemd-analyze", "systemd-sysusers", "systemd-tmpfiles"]
UNITS = Path("/lib/systemd/system")
TIMEOUT = 120


def skip(why):
    print(f"skipped: {why}", file=sys.stderr)
    sys.exit(1 if os.environ.get("WSSERVER_TEST_STRICT") else SKIPPED)


def run(*words, **options):
    print("+", *words, flush=True)
    return subprocess.run([str(word) for word in words], check=True, timeout=TIMEOUT, **options)


def documented_steps():
    """The commands of the section on systemd, without the one that builds and installs."""
    section = re.search(r"^## Under systemd\n(.*?)^## ", (ROOT / "docs/operating.md").read_text(), re.M | re.S)[1]
    block = re.search(r"^```console\n(.*?)^```", section, re.M | re.S)[1]
    steps = re.findall(r"^# (systemd?[\w-]+ .*)$", block, re.M)
    assert [step.split()[0] for step in steps] == ["systemd-sysusers", "systemd-tmpfiles", "systemctl", "systemctl"], steps
    return steps


def follow(steps, root):
    """Runs the steps on the tree `root` instead of the system. Its systemd is not running."""
    (root / "etc").mkdir(exist_ok=True)
    for step in steps:
        words = [word for word in shlex.split(step) if word != "--now"]
        if words[1] == "daemon-reload":
            continue
        if words[0] != "systemctl" and os.geteuid() != 0:
            print(f"left out, since it needs root: {step}")
            continue
        run(words[0], f"--root={root}", *words[1:])


def the_only(root, pattern):
    (found,) = root.rglob(pattern)
    return found


def check_unit(root):
    """Every key is known and every program exists. The unit refers to targets of the system, so they are copied."""
    units = root / "usr/lib/systemd/system"
    units.mkdir(parents=True, exist_ok=True)
    for kind in ("*.target", "*.slice"):
        for unit in UNITS.glob(kind):
            shutil.copy(unit, units)
    run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", f"--root={root}", "wsd.service")


def check_configuration(root, wsd):
    """The example is there, is valid, and shows the defaults of this prefix."""
    example = the_only(root, "share/wsd/wsd.toml")
    used = Path(re.search(r"^ExecStart=.*--config (\S+)", the_only(root, "wsd.service").read_text(), re.M)[1])
    if os.geteuid() == 0:
        assert (root / used.relative_to("/")).read_text() == example.read_text()
    run(wsd, "--config", example, "--check-config")
    folder = re.search(r'^#handler_dir = "(.*)"$', example.read_text(), re.M)[1]
    assert (root / folder.lstrip("/")).is_dir(), folder


def check_logrotate(root):
    if not shutil.which("logrotate"):
        print("left out, since logrotate is missing")
        return
    ended = run("logrotate", "--debug", "--state", root / "logrotate.state", the_only(root, "logrotate.d/wsd"),
                capture_output=True, text=True)
    assert "error:" not in ended.stderr, ended.stderr


def in_tree(word, root):
    return str(root / word.lstrip("/")) if word.startswith("/") else word


def command_of(root, key):
    """The words of ExecStart or ExecReload, with paths in `root`."""
    line = re.search(rf"^{key}=(.*)$", the_only(root, "wsd.service").read_text(), re.M)[1]
    return [in_tree(word, root) for word in shlex.split(line)]


def check_reload(root, configuration):
    """It says nothing that is in wsd's log already, and why it fails."""
    command = command_of(root, "ExecReload")
    assert run(*command, capture_output=True).stdout == b""
    before = configuration.read_text()
    configuration.write_text("no_such_key = 1\n")
    failed = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    assert failed.returncode == 1 and "no_such_key" in failed.stderr, failed
    configuration.write_text(before)


def id_of(file, name):
    """The number of a user or group in passwd or group."""
    return int(re.search(rf"^{name}:[^:]*:(\d+)", file.read_text(), re.M)[1])


def start(root):
    """Starts wsd as the unit does: as its user, with its command line, in `root`."""
    words = command_of(root, "ExecStart")
    user, group = id_of(root / "etc/passwd", "wsd"), id_of(root / "etc/group", "wsd")
    runtime = root / "run/wsd"  # RuntimeDirectory=
    runtime.mkdir(parents=True)
    os.chown(runtime, user, group)
    wsd = subprocess.Popen([*words, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True, user=user, group=group,
                           extra_groups=[id_of(root / "etc/group", "wsd-orders")], umask=0o007, env={}, cwd="/")
    try:
        line = wsd.stdout.readline()
        assert line.startswith("listening on ws://"), line
        spool = words[words.index("--spool") + 1]
        status = run(Path(words[0]).with_name("wsd-ctl"), "--spool", spool, "--json", "status", stdout=subprocess.PIPE)
        assert json.loads(status.stdout)["program"] == "wsd"
        check_reload(root, Path(words[words.index("--config") + 1]))
    finally:
        wsd.terminate()
        assert wsd.wait(TIMEOUT) == 0


def install(meson, build, root, tags):
    run(meson, "install", "-C", build, "--no-rebuild", "--quiet", "--tags", tags, "--destdir", root)


def prefix_of(meson, build):
    told = run(meson, "introspect", "--buildoptions", build, stdout=subprocess.PIPE, text=True).stdout
    return next(option["value"] for option in json.loads(told) if option["name"] == "prefix")


def main(build, meson):
    if missing := [tool for tool in TOOLS if not shutil.which(tool)]:
        skip(f"{', '.join(missing)} missing (Debian: systemd)")
    steps = documented_steps()
    with tempfile.TemporaryDirectory(prefix="wsserver-service-") as folder:
        room = Path(folder)
        room.chmod(0o755)  # for wsd's user
        own, usr = room / "own", room / "usr"
        install(meson, build, own, "runtime,service")
        wsd = the_only(own, "bin/wsd")
        if prefix_of(meson, build) in ("/usr", "/usr/local"):
            follow(steps, own)
            check_unit(own)
            if os.geteuid() == 0:
                start(own)
        check_configuration(own, wsd)

        run(meson, "setup", "--prefix=/usr", "-Dtests=false", "-Dexamples=false", room / "build", ROOT,
            stdout=subprocess.DEVNULL)
        install(meson, room / "build", usr, "service")
        (usr / "usr/bin").mkdir()
        for name in ("wsd", "wsd-ctl"):
            shutil.copy(wsd.with_name(name), usr / "usr/bin")
        follow(steps, usr)
        check_unit(usr)
        check_configuration(usr, wsd)
        check_logrotate(usr)


if __name__ == "__main__":
    main(*sys.argv[1:])
