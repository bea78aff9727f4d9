"""Faults of the machine and of its operators, while clients talk: wsd neither ends nor forgets, and cuts no client.

Each test runs a load of echoing clients from its start to its end. Every message of theirs must come back, in order.
After the fault everything works as before.
"""
import asyncio
import os
import pathlib
import pwd
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'system'))
from harness import PATIENCE, Process, SystemTest, Wsd, main, program, skip  # noqa: E402

TIMES = int(os.environ.get('WSSERVER_FAULT_TIMES', '1'))  # ./dev soak raises it
CLIENTS = 6
FAKETIME = next(pathlib.Path('/usr/lib').glob('*/faketime/libfaketime.so.1'), None)
ROOT_ONLY = unittest.skipUnless(os.geteuid() == 0, 'only root can do this')


def remove(folder):
    """Removes a folder in which wsd may create files at any time."""
    away = pathlib.Path(tempfile.mkdtemp(dir=folder.parent))
    folder.rename(away / folder.name)
    for _ in range(100):  # it fails if wsd, which holds the folder open, adds or moves a file
        shutil.rmtree(away, ignore_errors=True)
        if not away.exists():
            return
        time.sleep(0.01)
    shutil.rmtree(away)


class Load:
    """Clients that send numbered messages and wait for each to come back."""

    def __init__(self, test, url):
        self.test, self.url = test, url
        self.done = [0] * CLIENTS

    async def __aenter__(self):
        self.ending = asyncio.Event()
        self.clients = [await self.test.connect(self.url) for _ in range(CLIENTS)]
        self.tasks = [asyncio.ensure_future(self.talk(i)) for i in range(CLIENTS)]
        await self.progress()
        return self

    async def talk(self, index):
        while not self.ending.is_set():
            text = f'{index} {self.done[index]} ' + 'x' * (self.done[index] % 500)
            await self.clients[index].send(text)
            self.test.assertEqual(await self.test.within(self.clients[index].recv()), text)
            self.done[index] += 1
            await asyncio.sleep(0)

    async def progress(self, messages=3):
        """Waits until each client has received some more of its messages."""
        wanted = [count + messages for count in self.done]

        async def until():
            while any(have < want for have, want in zip(self.done, wanted)):
                for task in self.tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.001)
        await self.test.within(until())

    async def __aexit__(self, kind, error, trace):
        self.ending.set()
        if kind is None:
            await asyncio.gather(*self.tasks)
        else:
            await asyncio.gather(*self.tasks, return_exceptions=True)
        for client in self.clients:
            await client.close()


class Faults(SystemTest):
    async def recording(self, *flags, **options):
        """A wsd whose handler `record` notes the numbers of its commands in a file."""
        self.record = (options.get('folder') or self.folder()) / 'record'
        self.record.write_text('')
        if '--user' in flags:
            shutil.chown(self.record, flags[flags.index('--user') + 1])
        return await self.wsd('--handler', f'record={program("RECORDER")}', '--handler-config', f'record={self.record}',
                              *flags, **options)

    def recorded(self):
        return [int(line) for line in self.record.read_text().splitlines()]

    async def all_is_well(self, daemon, load):
        """It answers health checks, commands and newcomers, and the old clients talk on."""
        await load.progress()
        await self.healthy(daemon)
        self.assertIn('connections', await daemon.ctl('status'))
        newcomer = await self.connect(daemon.url)
        await newcomer.send('hello')
        self.assertEqual(await self.within(newcomer.recv()), 'hello')
        await newcomer.close()

    async def healthy(self, daemon):
        host, port = daemon.address

        def ask():
            with urllib.request.urlopen(f'http://{host}:{port}/healthz', timeout=PATIENCE) as answer:
                return answer.status
        self.assertEqual(await asyncio.to_thread(ask), 200)

    async def until(self, holds):
        async def look():
            while not holds():
                await asyncio.sleep(0.01)  # a file can't be awaited
        await self.within(look())

    def configure(self, daemon, text):
        draft = daemon.folder / 'draft'
        draft.write_text(text)
        draft.replace(daemon.folder / 'empty.toml')


class Resources(Faults):
    async def test_no_descriptors(self):
        daemon = await self.recording()
        async with Load(self, daemon.url) as load:
            for round_ in range(3 * TIMES):
                limits = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
                used = max(int(name) for name in os.listdir(f'/proc/{daemon.pid}/fd')) + 1
                resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (used, limits[1]))
                daemon.drop(f'{round_}-during', f'call record {round_}')
                waiting = [asyncio.ensure_future(self.connect(daemon.url)) for _ in range(30)]
                await load.progress(20)
                resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, limits)
                await self.within(asyncio.gather(*waiting))  # those in the queue of the kernel get in afterwards
                self.assertEqual((await daemon.answer(f'{round_}-during'))[0], 'done')
                await self.all_is_well(daemon, load)
        self.assertEqual(self.recorded(), list(range(3 * TIMES)))

    async def test_no_space_for_files(self):
        """No byte can be written to a file: neither an answer nor a line of the log."""
        daemon = await self.recording('--log-file', self.folder() / 'log')
        async with Load(self, daemon.url) as load:
            for round_ in range(2 * TIMES):
                limits = resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE)
                resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (0, limits[1]))
                for number in range(5):
                    daemon.drop(f'{round_}-{number}', f'call record {number}')
                await load.progress(50)
                self.assertTrue(daemon.running)
                await self.healthy(daemon)
                resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, limits)
                for number in range(5):
                    self.assertEqual((await daemon.answer(f'{round_}-{number}'))[0], 'done')
                await self.all_is_well(daemon, load)
        self.assertEqual(self.recorded(), list(range(5)) * 2 * TIMES)

    def small_disk(self):
        disk = self.folder()
        mounted = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=256k,nr_inodes=200', 'tmpfs', disk],
                                 capture_output=True)
        if mounted.returncode != 0:
            self.skipTest(f'no disk can be mounted: {mounted.stderr.decode().strip()}')
        self.addCleanup(subprocess.run, ['umount', '-l', disk])
        return disk

    def fill(self, disk):
        """Until no byte can be written. It stays possible to create files."""
        with open(disk / 'ballast', 'ab', buffering=0) as ballast:
            try:
                while True:
                    ballast.write(b'x' * 4096)
            except OSError:
                pass

    def fill_with_files(self, disk):
        """Until no file can be created."""
        (disk / 'files').mkdir()
        try:
            for number in range(1000):
                (disk / 'files' / str(number)).touch()
        except OSError:
            return
        self.fail('the disk has space for more files')

    @ROOT_ONLY
    async def test_a_full_disk(self):
        disk = self.small_disk()
        daemon = await self.recording(folder=disk)
        async with Load(self, daemon.url) as load:
            daemon.drop('before', 'call record 0')
            await daemon.answer('before')
            (daemon.spool / 'tmp' / '1').write_text('call record 1')
            self.fill(disk)
            (daemon.spool / 'tmp' / '1').rename(daemon.spool / 'new' / '1')
            await load.progress(50)
            await self.healthy(daemon)
            (disk / 'ballast').unlink()
            self.assertEqual((await daemon.answer('1'))[0], 'done')
            await self.all_is_well(daemon, load)
        self.assertEqual(self.recorded(), [0, 1])

    @ROOT_ONLY
    async def test_a_start_on_a_full_disk(self):
        disk = self.small_disk()
        daemon = await self.recording(folder=disk)
        await daemon.kill()
        (disk / 'wsd.pid').write_text('')  # so that it has no block to write to
        (daemon.spool / 'tmp' / '1').write_text('call record 1')
        self.fill(disk)
        self.fill_with_files(disk)
        (daemon.spool / 'tmp' / '1').rename(daemon.spool / 'new' / '1')
        log = disk / 'wsd.log'
        daemon.flags += ['--log-file', str(log)]
        await daemon.again()
        async with Load(self, daemon.url) as load:
            await daemon.line('wsd.log cannot be opened: No space left on device; the log is on stderr', 'stderr')
            await daemon.line('wsd.pid is locked, but the process id cannot be written', 'stderr')
            await self.healthy(daemon)
            os.kill(daemon.pid, signal.SIGHUP)
            await daemon.line('configuration reloaded', 'stderr')
            await daemon.line('wsd.log cannot be opened: No space left on device', 'stderr', count=2)
            (disk / 'ballast').unlink()
            remove(disk / 'files')
            self.assertEqual((await daemon.answer('1'))[0], 'done')
            os.kill(daemon.pid, signal.SIGUSR1)
            await self.until(lambda: log.exists() and 'log reopened' in log.read_text())
            await self.all_is_well(daemon, load)
        self.assertEqual(self.recorded(), [1])

    @ROOT_ONLY
    async def test_a_start_on_a_full_disk_without_a_pid_file(self):
        disk, folder = self.small_disk(), self.folder()
        self.fill_with_files(disk)
        daemon = await self.recording('--pid-file', disk / 'wsd.pid', folder=folder)
        async with Load(self, daemon.url) as load:
            await daemon.line('wsd.pid cannot be opened: No space left on device; a reload tries again', 'stderr')
            self.assertRegex(await daemon.ctl('reload'), 'warning: .*wsd.pid cannot be opened: No space left on device')
            await daemon.line('wsd.pid cannot be opened: No space left on device', 'stderr', count=2)
            shutil.rmtree(disk / 'files')
            self.assertEqual(await daemon.ctl('reload'), 'configuration reloaded\n')
            await daemon.line('the pid file is written', 'stderr')
            self.assertEqual((disk / 'wsd.pid').read_text(), f'{daemon.pid}\n')
            await self.all_is_well(daemon, load)
        self.assertEqual(await daemon.stop(), 0)
        self.assertFalse((disk / 'wsd.pid').exists())

    @ROOT_ONLY
    async def test_a_start_on_a_full_disk_as_another_user(self):
        """Root could have created the files. Later wsd may not, and says how root permits it."""
        disk, folder = self.small_disk(), self.folder()
        disk.chmod(0o755)
        folder.chmod(0o755)
        shutil.chown(folder, 'daemon')
        self.fill_with_files(disk)
        log, pid_file = disk / 'wsd.log', disk / 'wsd.pid'
        daemon = await self.recording('--user', 'daemon', '--log-file', log, '--pid-file', pid_file, folder=folder)
        async with Load(self, daemon.url) as load:
            await daemon.line('wsd.log cannot be opened: No space left on device; the log is on stderr', 'stderr')
            shutil.rmtree(disk / 'files')
            answer = await daemon.ctl('reload')
            for name in (log.name, pid_file.name):
                why = f'{name} cannot be opened: Permission denied; as root: ([^;\\n]*)'
                await daemon.line(why, 'stderr')
                permit = re.search('warning: .*' + why, answer)[1]
                subprocess.run(permit, shell=True, check=True)
            self.assertEqual(await daemon.ctl('reload'), 'configuration reloaded\n')
            await self.until(lambda: 'configuration reloaded' in log.read_text())
            self.assertEqual(pid_file.read_text(), f'{daemon.pid}\n')
            await self.all_is_well(daemon, load)

    async def test_a_log_that_takes_nothing(self):
        daemon = await self.recording('--log-file', '/dev/full')
        async with Load(self, daemon.url) as load:
            for number in range(20):
                daemon.drop(f'{number:02}', f'call record {number}')
            await daemon.answer('19')
            await self.all_is_well(daemon, load)


class Folders(Faults):
    async def spoil_and_mend(self, spoil, mend):
        daemon = await self.recording()
        async with Load(self, daemon.url) as load:
            for round_ in range(2 * TIMES):
                daemon.drop(f'{round_}-before', f'call record {2 * round_}')
                await daemon.answer(f'{round_}-before')
                spoil(daemon.spool)
                await load.progress(50)
                await self.healthy(daemon)
                mend(daemon.spool)
                # A writer finds the folders again when wsd has made them.
                await self.until(lambda: all((daemon.spool / part).is_dir() for part in ('tmp', 'new', 'cur', 'done')))
                daemon.drop(f'{round_}-after', f'call record {2 * round_ + 1}')
                await self.until(lambda: 2 * round_ + 1 in self.recorded())
                await self.all_is_well(daemon, load)
        self.assertEqual(self.recorded(), list(range(4 * TIMES)))

    async def test_the_spool_is_removed(self):
        await self.spoil_and_mend(remove, lambda spool: None)

    async def test_the_spool_is_replaced(self):
        def replace(spool):
            spool.rename(spool.with_name(f'old-{len(list(spool.parent.iterdir()))}'))
            spool.mkdir(mode=0o700, exist_ok=True)  # wsd may have been faster
        await self.spoil_and_mend(replace, lambda spool: None)

    async def test_a_part_of_the_spool_is_removed(self):
        await self.spoil_and_mend(lambda spool: remove(spool / 'new'), lambda spool: None)

    async def test_the_spool_is_a_file_for_a_while(self):
        def spoil(spool):
            while not spool.is_file():
                remove(spool)
                try:
                    spool.write_text('no folder')
                except IsADirectoryError:
                    pass  # wsd has made it again
        await self.spoil_and_mend(spoil, lambda spool: spool.unlink())

    @ROOT_ONLY
    async def test_folders_without_permission(self):
        """wsd runs as another user, since root may do everything."""
        folder = self.folder()
        folder.chmod(0o755)
        shutil.chown(folder, 'daemon')
        daemon = await self.recording('--user', 'daemon', folder=folder)
        async with Load(self, daemon.url) as load:
            for part in ('new', 'done', 'cur'):
                daemon.drop(f'{part}-before', 'call record 0')
                await daemon.answer(f'{part}-before')
                (daemon.spool / part).chmod(0)
                daemon.drop(f'{part}-during', 'call record 1')
                await load.progress(50)
                await self.healthy(daemon)
                (daemon.spool / part).chmod(0o700)
                self.assertEqual((await daemon.answer(f'{part}-during'))[0], 'done')
            await self.all_is_well(daemon, load)


class Processes(Faults):
    async def test_kill_9_at_many_moments(self):
        daemon = await self.recording()
        numbers = range(40 * TIMES)
        for number in numbers:
            daemon.drop(f'{number:06}', f'call record {number}')
            for _ in range(number % 7):
                await asyncio.sleep(0)
            daemon.process.kill()
            await daemon.exit_code()
            await daemon.again()
        await daemon.answer(f'{numbers[-1]:06}')
        # Each was executed, or begun in two lives of wsd and then given up.
        for number in set(numbers) - set(self.recorded()):
            self.assertRegex((daemon.spool / 'failed' / f'{number:06}').read_text(), '^error crashed ')
        self.assertLessEqual(max(self.recorded().count(number) for number in numbers), 2)
        async with Load(self, daemon.url) as load:
            await self.all_is_well(daemon, load)

    async def test_it_stands_still(self):
        daemon = await self.wsd('--ping-interval', '500ms', '--pong-timeout', '500ms')
        async with Load(self, daemon.url) as load:
            for _ in range(2 * TIMES):
                os.kill(daemon.pid, signal.SIGSTOP)
                await asyncio.sleep(2)  # longer than all its patience
                os.kill(daemon.pid, signal.SIGCONT)
                await self.all_is_well(daemon, load)

    async def test_second_daemons(self):
        daemon = await self.recording()
        async with Load(self, daemon.url) as load:
            for number in range(5 * TIMES):
                pid_file = daemon.folder / ('wsd.pid' if number % 2 else f'other-{number}.pid')
                second = Process(program('WSD'), '--config', daemon.folder / 'empty.toml', '--spool', daemon.spool,
                                 '--pid-file', pid_file, '--listen', '127.0.0.1:0', env=daemon.env)
                self.processes.append(second)
                self.addAsyncCleanup(second.kill)
                await second.start()
                self.assertNotEqual(await second.exit_code(), 0)
                self.assertIn(str(daemon.pid), second.text('stderr'))
                daemon.drop(f'{number}', f'call record {number}')
                await daemon.answer(f'{number}')
            await self.all_is_well(daemon, load)
        self.assertEqual(self.recorded(), list(range(5 * TIMES)))

    async def test_HUP_in_a_HUP(self):
        daemon = await self.recording()
        async with Load(self, daemon.url) as load:
            for number in range(50 * TIMES):
                self.configure(daemon, f'server_name = "name-{number}"\n[handlers]\nx{number % 3} = "echo"\n')
                os.kill(daemon.pid, signal.SIGHUP)
            await load.progress()
            await daemon.ctl('reload')
            self.assertIn(f'x{(50 * TIMES - 1) % 3}', await daemon.ctl('handler', 'list'))
            await self.all_is_well(daemon, load)


class Inputs(Faults):
    async def test_half_copied_objects(self):
        daemon = await self.recording()
        whole = pathlib.Path(program('SLEEPER')).read_bytes()
        folder = self.folder()
        copy = folder / 'half.so'
        async with Load(self, daemon.url) as load:
            for part in range(0, 8 * TIMES):
                size = len(whole) * part // (8 * TIMES)
                for filling in (b'', b'\0' * (len(whole) - size)):  # cut, or reserved and not written
                    copy.unlink(missing_ok=True)
                    copy.write_bytes(whole[:size] + filling)
                    copy.chmod(0o700)
                    code, out, err = await daemon.run_ctl('handler', 'load', 'half', copy)
                    if part < 4 * TIMES:  # the end of the file has only tables that are not needed
                        self.assertEqual(code, 1, out + err)
                        self.assertIn('half.so', err)
            copy.unlink()
            copy.write_bytes(whole)
            copy.chmod(0o700)
            await daemon.ctl('handler', 'load', 'half', copy)
            await self.all_is_well(daemon, load)

    async def test_handlers_that_hang(self):
        """A reaction, a command, the start and the end of a handler never return."""
        daemon = await self.recording('--handler', f'hang={program("SLEEPER")}', '--workers', '3', '--grace', '100ms',
                                      '--handler-config', 'create=hang later', '--handler-config',
                                      'destroy=hang at the end')
        async with Load(self, daemon.url) as load:
            stuck = await self.connect(daemon.url, subprotocols=['hang'])
            await stuck.send('never answered')
            daemon.drop('1-hangs', 'call hang /no/such/file')
            daemon.drop('2-after', 'call record 1')
            self.assertEqual((await daemon.answer('2-after'))[0], 'done')
            await self.all_is_well(daemon, load)
            code, out, err = await daemon.run_ctl('handler', 'load', 'other', '/dev/zero')
            self.assertEqual(code, 1, out + err)
            await self.all_is_well(daemon, load)
            loading = asyncio.ensure_future(daemon.run_ctl('handler', 'load', 'create', program('SLEEPER')))
            await daemon.line('sleeper hangs', 'stderr')
            await load.progress(50)  # commands wait for it, and clients do not
            await self.healthy(daemon)
            code, out, err = await self.within(loading)
            self.assertEqual(code, 1, out + err)
            self.assertIn('its start does not end within 8000 ms', err)
            await self.all_is_well(daemon, load)
            await daemon.ctl('handler', 'load', 'destroy', program('SLEEPER'))
            await daemon.ctl('handler', 'unload', 'destroy')
            hanging = []
            async with asyncio.timeout(PATIENCE):
                while len(hanging) < 3:  # a worker lets go of the handler
                    hanging = [call['call'].split()[0] for call in (await daemon.ctl_json('status'))[0]['calls']]
            self.assertEqual(hanging, ['on_command()', 'create()', 'destroy()'])
            await self.all_is_well(daemon, load)
        self.assertEqual(await daemon.stop(), 0)

    BAD = [
        'listen = 7', 'listen = [""]', 'listen = ["127.0.0.1:99999"]', 'unknown = 1',
        '[unknown]\na = 1', 'default_handler = 7', 'default_handler = "/no/such/object.so"',
        'default_handler = "no-such-handler"', '[handlers]\n"not a token" = "echo"', '[handlers]\na = ""',
        '[handlers]\na = "/etc/passwd"', '[limits]\nmax_message = "-1"', '[limits]\nmax_message = 0',
        '[limits]\nmax_message = "99999999999999999999"', '[limits]\nping_interval = "soon"',
        '[limits]\nclose_timeout = "-5s"', '[limits]\nslow_consumer = "punish"', '[limits]\nmax_header = 1',
        '[log]\nlevel = "loud"', '[log]\nformat = "xml"', '[spool]\nkeep = "0s"', '[spool]\ngroup_may = ["fly"]',
        'allowed_origins = ["not an origin"]', 'server_name = "a\\nb"', 'listen = [', '= 1', '[[[', '"', 'a = 1\na = 2',
        '\x00', '\ufeff[', 'strict_subprotocol = "maybe"',
    ]

    async def test_bad_configurations(self):
        daemon = await self.recording()
        async with Load(self, daemon.url) as load:
            for bad in self.BAD * TIMES:
                self.configure(daemon, bad)
                after = daemon.mark()
                code, out, err = await daemon.run_ctl('reload')
                self.assertEqual(code, 1, f'{bad!r} was accepted: {out}')
                self.assertIn('empty.toml', err, bad)
                os.kill(daemon.pid, signal.SIGHUP)
                await daemon.line('empty.toml', 'stderr', after=after)
            self.configure(daemon, '[handlers]\nfine = "echo"\n')
            await daemon.ctl('reload')
            self.assertIn('fine', await daemon.ctl('handler', 'list'))
            await self.all_is_well(daemon, load)


class Clocks(Faults):
    async def test_the_clock_jumps(self):
        """Years forwards and backwards. Only the clock of the wall does that, so nothing may depend on it."""
        if FAKETIME is None:
            skip('libfaketime is missing (Debian: libfaketime)')
        when = self.folder() / 'when'
        when.write_text('+0\n')
        daemon = Wsd('--spool-keep', '1h', '--ping-interval', '1s', '--pong-timeout', '1s')
        daemon.env |= {'LD_PRELOAD': str(FAKETIME), 'FAKETIME_TIMESTAMP_FILE': str(when), 'FAKETIME_NO_CACHE': '1',
                       'FAKETIME_DONT_FAKE_MONOTONIC': '1', 'DONT_FAKE_MONOTONIC': '1'}
        self.processes.append(daemon)
        self.addAsyncCleanup(daemon.clean_up)
        await daemon.start()
        async with Load(self, daemon.url) as load:
            for round_ in range(TIMES):
                for number, jump in enumerate(('+10y', '-10y', '+1d', '-1d', '+0')):
                    before, after = (f'{round_}-{number}-{word}' for word in ('before', 'after'))
                    daemon.drop(before, 'version')
                    when.write_text(f'{jump}\n')
                    daemon.drop(after, 'version')
                    for name in (before, after):
                        self.assertEqual((await daemon.answer(name))[0], 'done')
                    await load.progress(50)
                    await self.healthy(daemon)
        self.assertEqual(await daemon.stop(), 0)


if __name__ == '__main__':
    main()
