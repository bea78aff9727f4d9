"""Starts the built wsd for a system test, talks to it as its users do, and shows its log if a test fails.

Meson sets the programs under test in the environment: WSD, WSD_CTL. A test always waits for an event (a line, a
message, an exit). PATIENCE only limits how long it waits before it fails.
"""
import asyncio
import ctypes
import json
import logging
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

PATIENCE = float(os.environ.get('WSSERVER_TEST_PATIENCE', '60'))  # seconds; for slow machines and sanitizers
TRANSPORT = os.environ.get('WSSERVER_TEST_TRANSPORT')  # auto|asio|uring; by default wsd chooses
SKIPPED = 77  # the exit code that Meson shows as SKIP
HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def program(variable):
    """The program that the environment names. Ends the test if there is none."""
    path = os.environ.get(variable)
    if not path:
        sys.exit(f'{variable} is not set: run through meson test, or give the path of the built program')
    if not os.access(path, os.X_OK):
        sys.exit(f'{variable}={path} is not a program')
    return path


def skip(why):
    """Ends the whole test as skipped; as failed if WSSERVER_TEST_STRICT requires everything to be installed."""
    print(f'skipped: {why}', file=sys.stderr)
    sys.exit(1 if os.environ.get('WSSERVER_TEST_STRICT') else SKIPPED)


def websockets():
    """Python's websockets package. Skips the test if it is missing."""
    try:
        import websockets
        return websockets
    except ImportError:
        skip('the Python package websockets is missing (Debian: python3-websockets)')


def die_with_parent():
    """For preexec_fn: kills the child when the test ends, however it ends."""
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """A child whose stdout and stderr are kept line by line and can be waited for."""

    def __init__(self, *command, env=None, nofile=None, cwd=None):
        self.command = [str(word) for word in command]
        self.env = env
        self.nofile = nofile
        self.cwd = cwd
        self.lines = []  # (stream, line), in order of arrival
        self._arrived = asyncio.Condition()
        self._readers = []
        self.process = None

    def _prepare(self):
        die_with_parent()
        if self.nofile:
            resource.setrlimit(resource.RLIMIT_NOFILE, (self.nofile, self.nofile))

    async def start(self, stdin=asyncio.subprocess.DEVNULL):
        asyncio.get_running_loop().set_debug(False)  # unittest turns it on, and it is slow
        self.process = await asyncio.create_subprocess_exec(
            *self.command, stdin=stdin, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env=self.env, preexec_fn=self._prepare, cwd=self.cwd, limit=1 << 26, start_new_session=True)
        self._readers = [asyncio.ensure_future(self._read('stdout', self.process.stdout)),
                         asyncio.ensure_future(self._read('stderr', self.process.stderr))]
        return self

    async def _read(self, name, stream):
        while line := await stream.readline():
            async with self._arrived:
                self.lines.append((name, line.decode(errors='backslashreplace').rstrip('\n')))
                self._arrived.notify_all()
        async with self._arrived:  # wakes the waiters for lines that can't arrive any more
            self.lines.append((name, None))
            self._arrived.notify_all()

    def text(self, stream=None):
        return '\n'.join(line for name, line in self.lines if line is not None and stream in (None, name))

    def mark(self):
        """A position in the output, to wait for lines after it."""
        return len(self.lines)

    async def line(self, pattern, stream=None, after=0, count=1):
        """The first (or count-th) line that matches. Waits for it."""
        def found():
            hits = 0
            for name, line in self.lines[after:]:
                if line is not None and stream in (None, name):
                    match = re.search(pattern, line)
                    hits += match is not None
                    if match and hits == count:
                        return match
            return None

        def ended():
            return sum(line is None for _, line in self.lines) == 2

        try:
            async with asyncio.timeout(PATIENCE), self._arrived:
                await self._arrived.wait_for(lambda: found() or ended())
        except TimeoutError:
            pass
        match = found()
        if not match:
            raise AssertionError(f'{self.command[0]} never printed /{pattern}/; it printed:\n{self.text()}')
        return match

    async def exit_code(self):
        async with asyncio.timeout(PATIENCE):
            code = await self.process.wait()
            await asyncio.gather(*self._readers)
        return code

    @property
    def running(self):
        return self.process is not None and self.process.returncode is None

    async def kill(self):
        """Kills the process and its children."""
        if not self.process:
            return
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        await self.exit_code()


class Wsd(Process):
    """The daemon, on a free port, with a spool and everything else in a folder of its own."""

    def __init__(self, *flags, listen=('127.0.0.1:0',), nofile=None, folder=None, spool=True, wrapper=()):
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix='wsd-test-'))
        self.owns_folder = folder is None
        self.spool = self.folder / 'spool'
        self.flags = [str(flag) for flag in flags]
        self.listen = list(listen)
        self.wrapper = list(wrapper)
        self.with_spool = spool
        self.urls = []
        # The machine's configuration must not affect the test, nor the test the machine.
        env = {name: value for name, value in os.environ.items() if not name.startswith(('WSD_', 'XDG_'))}
        if TRANSPORT:
            env['WSD_TRANSPORT'] = TRANSPORT
        for name in ('XDG_CONFIG_HOME', 'XDG_RUNTIME_DIR', 'XDG_STATE_HOME'):
            env[name] = str(self.folder / name.lower())
            pathlib.Path(env[name]).mkdir(mode=0o700, exist_ok=True)
        (self.folder / 'empty.toml').touch()
        super().__init__(*self._command(), env=env, nofile=nofile)

    def _command(self):
        command = [*self.wrapper, program('WSD'), '--config', self.folder / 'empty.toml']
        if self.with_spool:
            command += ['--spool', self.spool]
        command += ['--pid-file', self.folder / 'wsd.pid']
        for endpoint in self.listen:
            command += ['--listen', endpoint]
        return [str(word) for word in command + self.flags]

    async def start(self, stdin=asyncio.subprocess.DEVNULL):
        self.lines.clear()
        await super().start(stdin)
        self.urls = [(await self.line(r'listening on (\S+)', 'stdout', count=n + 1))[1]
                     for n in range(len(self.listen))]
        return self

    async def again(self):
        """Starts it again with the same ports and the same spool."""
        for index, url in enumerate(self.urls):
            if url.startswith('ws://'):
                self.listen[index] = url.removeprefix('ws://').rstrip('/')
        self.command = self._command()
        return await self.start()

    async def starts_and_ends(self):
        """Starts it again and returns its exit code. It need not listen before it ends."""
        self.lines.clear()
        await super().start()
        return await self.exit_code()

    @property
    def url(self):
        return self.urls[0]

    @property
    def address(self):
        """(host, port) of the first listener."""
        host, _, port = self.url.removeprefix('ws://').rstrip('/').rpartition(':')
        return host.strip('[]'), int(port)

    @property
    def pid(self):
        return self.process.pid

    def footprint(self):
        """(open descriptors, resident memory in KiB)"""
        status = pathlib.Path(f'/proc/{self.pid}/status').read_text()
        return len(os.listdir(f'/proc/{self.pid}/fd')), int(re.search(r'VmRSS:\s+(\d+)', status)[1])

    async def run_ctl(self, *words, stdin=b'', binary='WSD_CTL'):
        """(exit code, stdout, stderr) of `wsd-ctl WORDS`."""
        child = await asyncio.create_subprocess_exec(
            program(binary), '--spool', str(self.spool), '--timeout', f'{PATIENCE:.0f}s', *[str(word) for word in words],
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env=self.env, preexec_fn=die_with_parent)
        async with asyncio.timeout(PATIENCE):
            out, err = await child.communicate(stdin if isinstance(stdin, bytes) else stdin.encode())
        return child.returncode, out.decode(), err.decode()

    async def ctl(self, *words, stdin=b''):
        """The output of `wsd-ctl WORDS`, which must succeed."""
        code, out, err = await self.run_ctl(*words, stdin=stdin)
        if code != 0:
            raise AssertionError(f'wsd-ctl {" ".join(map(str, words))} exited with {code}: {err}{out}')
        return out

    async def ctl_json(self, *words):
        """The objects that `wsd-ctl --json WORDS` prints, one per line."""
        return [json.loads(line) for line in (await self.ctl('--json', *words)).splitlines() if line]

    def drop(self, name, content):
        """Writes a command file as any script does: into tmp/, then renamed into new/."""
        draft = self.spool / 'tmp' / name
        draft.write_bytes(content if isinstance(content, bytes) else content.encode())
        draft.rename(self.spool / 'new' / name)

    async def answer(self, name):
        """(folder, text) of the answer to the command file `name`. Waits for it."""
        async def look():
            while True:
                for folder in ('done', 'failed'):
                    path = self.spool / folder / name
                    if path.exists():
                        return folder, path.read_text(errors='backslashreplace')
                await asyncio.sleep(0.005)  # a folder can't be awaited; the deadline limits the wait
        async with asyncio.timeout(PATIENCE):
            return await look()

    async def stop(self, signum=signal.SIGTERM):
        """Sends a signal and returns the exit code."""
        self.process.send_signal(signum)
        return await self.exit_code()

    async def clean_up(self):
        await self.kill()
        if self.owns_folder:
            shutil.rmtree(self.folder, ignore_errors=True)


# These report the failures that the tests cause on purpose.
logging.getLogger('asyncio').setLevel(logging.CRITICAL)
logging.getLogger('websockets').setLevel(logging.CRITICAL)


class SystemTest(unittest.IsolatedAsyncioTestCase):
    """A test that starts daemons. They end with the test, and their logs are shown if it fails."""

    def run(self, result=None):
        self.processes = []
        before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > before:
            for process in self.processes:
                print(f'--- {" ".join(process.command)}\n{process.text()}\n---', file=sys.stderr)
        return result

    async def wsd(self, *flags, **options):
        daemon = Wsd(*flags, **options)
        self.processes.append(daemon)
        self.addAsyncCleanup(daemon.clean_up)
        return await daemon.start()

    async def process(self, *command, **options):
        child = Process(*command, **options)
        self.processes.append(child)
        self.addAsyncCleanup(child.kill)
        return await child.start()

    async def connect(self, url, **options):
        """A connection of Python's websockets, which ends with the test."""
        options.setdefault('ping_interval', None)
        options.setdefault('open_timeout', PATIENCE)
        options.setdefault('close_timeout', PATIENCE)
        connection = await websockets().connect(url, **options)
        self.addAsyncCleanup(connection.close)
        return connection

    async def within(self, awaitable):
        """The result of `awaitable`. Fails if that takes longer than PATIENCE."""
        async with asyncio.timeout(PATIENCE):
            return await awaitable

    def folder(self):
        path = pathlib.Path(tempfile.mkdtemp(prefix='wsd-test-'))
        self.addCleanup(shutil.rmtree, path, ignore_errors=True)
        return path


def raise_descriptor_limit(wanted):
    """Raises the limit of open descriptors to `wanted`. Returns whether that worked."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        return False
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return True


def main():
    unittest.main(module='__main__', verbosity=2)
