"""TERM, INT, USR1 and HUP, alone and at the wrong moment."""
import asyncio
import pathlib
import re
import signal
import socket
import time

from harness import PATIENCE, SystemTest, main, program, websockets
from raw import Peer

ws = websockets()

DEAF = ['--close-timeout', '1h']  # keeps the connection of a peer that never answers the Close frame


class Stops(SystemTest):
    async def closes_all_and_exits(self, signum):
        daemon = await self.wsd('--handler', 'chat=broadcast')
        clients = [await self.connect(daemon.url, subprotocols=protocols) for protocols in (None, ['chat'], None)]
        self.assertEqual(await daemon.stop(signum), 0)
        for client in clients:
            await self.within(client.wait_closed())
            self.assertEqual(client.close_code, 1001)
        self.assertFalse((daemon.folder / 'wsd.pid').exists())
        await daemon.line(f'stopping why={signal.Signals(signum).name}', 'stderr')
        await daemon.line('stopped', 'stderr')
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(daemon.address)

    async def test_TERM_closes_all_with_1001_and_exits_with_0(self):
        await self.closes_all_and_exits(signal.SIGTERM)

    async def test_INT_does_the_same(self):
        await self.closes_all_and_exits(signal.SIGINT)

    async def test_the_command_stop_does_the_same(self):
        daemon = await self.wsd()
        client = await self.connect(daemon.url)
        await daemon.ctl('stop')
        self.assertEqual(await daemon.exit_code(), 0)
        await self.within(client.wait_closed())
        self.assertEqual(client.close_code, 1001)

    async def deaf(self, daemon):
        peer = Peer(daemon.address)
        self.addCleanup(peer.socket.close)
        await asyncio.to_thread(peer.upgrade)
        return peer

    async def test_a_peer_that_does_not_answer_is_cut_after_the_grace(self):
        daemon = await self.wsd('--grace', '300ms', *DEAF)
        peer = await self.deaf(daemon)
        begin = time.monotonic()
        self.assertEqual(await daemon.stop(), 0)
        self.assertGreaterEqual(time.monotonic() - begin, 0.3)
        self.assertEqual(await asyncio.to_thread(peer.close_code), 1001)

    async def test_the_second_signal_stops_at_once(self):
        for second in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(second.name):
                daemon = await self.wsd('--grace', '1h', *DEAF)
                peer = await self.deaf(daemon)
                daemon.process.send_signal(signal.SIGTERM)
                self.assertEqual(await asyncio.to_thread(peer.close_code), 1001)
                self.assertTrue(daemon.running)
                self.assertEqual(await daemon.stop(second), 0)
                await daemon.line('stopping at once', 'stderr')

    async def during_a_command(self, *flags):
        """A daemon that executes a command until the file is there, the file, and the pending result of wsd-ctl."""
        daemon = await self.wsd('--handler', f'sleep={program("SLEEPER")}', *flags)
        wake = self.folder() / 'wake'
        pending = asyncio.ensure_future(daemon.run_ctl('call', 'sleep', wake))
        async with asyncio.timeout(PATIENCE):
            while not list((daemon.spool / 'cur').glob('*~1')):
                await asyncio.sleep(0.005)  # a folder can't be awaited
        daemon.process.send_signal(signal.SIGTERM)
        await daemon.line('stopping why=SIGTERM', 'stderr')
        return daemon, wake, pending

    async def test_a_command_that_is_being_executed_has_the_grace(self):
        daemon, wake, pending = await self.during_a_command('--grace', '1h')
        wake.touch()
        self.assertEqual(await daemon.exit_code(), 0)
        self.assertEqual(await self.within(pending), (0, '', ''))
        self.assertEqual(list((daemon.spool / 'cur').iterdir()), [])

    async def test_after_the_grace_a_command_stays_in_the_spool_and_is_tried_again(self):
        daemon, wake, pending = await self.during_a_command('--grace', '100ms')
        self.assertEqual(await daemon.exit_code(), 0)
        code, _, error = await self.within(pending)
        self.assertEqual(code, 3)
        self.assertIn('it stopped during the command', error)
        self.assertEqual([path.read_text().split()[0] for path in (daemon.spool / 'cur').glob('*~1')], ['call'])
        self.assertEqual(list((daemon.spool / 'failed').iterdir()), [])
        wake.touch()
        name = next((daemon.spool / 'cur').glob('*~1')).name.removesuffix('~1')
        await daemon.again()
        self.assertEqual(await daemon.answer(name), ('done', 'ok again\n'))

    async def test_while_it_stops_new_connections_are_refused(self):
        daemon = await self.wsd('--grace', '1h', *DEAF)
        peer = await self.deaf(daemon)
        daemon.process.send_signal(signal.SIGTERM)
        self.assertEqual(await asyncio.to_thread(peer.close_code), 1001)
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(daemon.address)
        self.assertEqual(await daemon.stop(), 0)

    async def test_HUP_and_USR1_while_it_stops_are_harmless(self):
        daemon = await self.wsd('--grace', '1h', *DEAF)
        peer = await self.deaf(daemon)
        daemon.process.send_signal(signal.SIGTERM)
        self.assertEqual(await asyncio.to_thread(peer.close_code), 1001)
        for signum in (signal.SIGHUP, signal.SIGUSR1, signal.SIGHUP):
            daemon.process.send_signal(signum)
        await daemon.line('log reopened', 'stderr')
        self.assertEqual(await daemon.stop(), 0)


class Log(SystemTest):
    async def test_USR1_reopens_the_log(self):
        path = self.folder() / 'wsd.log'
        daemon = await self.wsd('--log-file', path)
        moved = path.rename(path.with_suffix('.1'))
        daemon.process.send_signal(signal.SIGUSR1)
        self.assertEqual(await daemon.stop(), 0)
        self.assertIn('started', moved.read_text())
        self.assertNotIn('stopped', moved.read_text())
        self.assertIn('log reopened', path.read_text())
        self.assertIn('stopped', path.read_text())

    async def test_a_log_that_cannot_be_reopened_continues_in_the_old_file(self):
        folder = self.folder() / 'logs'
        folder.mkdir()
        path = folder / 'wsd.log'
        daemon = await self.wsd('--log-file', path)
        away = folder.rename(folder.with_name('away'))  # the path no longer exists
        daemon.process.send_signal(signal.SIGUSR1)
        self.assertEqual(await daemon.stop(), 0)
        text = (away / 'wsd.log').read_text()
        self.assertIn('cannot be opened', text)
        self.assertIn('stopped', text)


class Threads(SystemTest):
    OBEYED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)

    async def daemon_with_all_its_threads(self):
        daemon = await self.wsd('--handler', f'sleep={program("SLEEPER")}', '--grace', '0s')
        sleepy = await self.connect(daemon.url, subprotocols=['sleep'])  # starts the workers
        await self.within(await sleepy.ping())
        return daemon

    async def test_only_the_main_thread_handles_signals(self):
        daemon = await self.daemon_with_all_its_threads()
        daemon.process.send_signal(signal.SIGHUP)
        await daemon.line('configuration reloaded', 'stderr')
        await daemon.ctl('status')
        others = 0
        for task in pathlib.Path(f'/proc/{daemon.pid}/task').iterdir():
            blocked = int(re.search(r'^SigBlk:\s*(\w+)', (task / 'status').read_text(), re.MULTILINE)[1], 16)
            is_main = task.name == str(daemon.pid)
            others += not is_main
            for signum in self.OBEYED:
                with self.subTest(thread=task.name, signal=signum.name):
                    self.assertEqual(bool(blocked & 1 << signum - 1), not is_main)
        self.assertGreaterEqual(others, 3)  # a reactor, a worker, the observer

    async def test_signals_that_arrive_together_are_all_handled_and_TERM_last(self):
        daemon = await self.daemon_with_all_its_threads()
        daemon.process.send_signal(signal.SIGSTOP)
        for signum in (signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM):
            daemon.process.send_signal(signum)
        self.assertEqual(await daemon.stop(signal.SIGCONT), 0)
        said = [daemon.text('stderr').find(line) for line in ('log reopened', 'stopping why')]
        self.assertNotIn(-1, said)
        self.assertEqual(said, sorted(said))
        # TERM does not wait for a reload, which may load handlers.
        self.assertRegex(daemon.text('stderr'), 'configuration reloaded|the configuration is not reloaded')


class Storm(SystemTest):
    async def test_hundreds_of_signals_close_no_connection(self):
        daemon = await self.wsd('--handler', 'chat=broadcast')
        client = await self.connect(daemon.url)
        for number in range(100):
            for signum in (signal.SIGHUP, signal.SIGUSR1):
                daemon.process.send_signal(signum)
            await client.send(str(number))
            self.assertEqual(await self.within(client.recv()), str(number))
        self.assertEqual(await daemon.stop(), 0)


if __name__ == '__main__':
    main()
