"""Every error says what is wrong, where, and what to do. Nothing else is affected.

The first half tests a wsd that does not start. The second half tests one that runs and has a witness: a connection that
must continue to echo.
"""
import asyncio
import os
import pathlib
import socket
import subprocess
import time

from harness import PATIENCE, SystemTest, Wsd, main, program
from raw import TEXT, Peer, request

USAGE, BAD_CONFIGURATION = 2, 78


class Refuses(SystemTest):
    """wsd says why it does not start."""

    async def fails(self, *flags, code, says, **options):
        daemon = Wsd(*flags, **options)
        self.processes.append(daemon)
        self.addAsyncCleanup(daemon.clean_up)
        await super(Wsd, daemon).start()  # without waiting for the listening line, which must not appear
        self.assertEqual(await daemon.exit_code(), code, daemon.text())
        self.assertNotIn('listening', daemon.text('stdout'))
        for part in says:
            self.assertIn(part, daemon.text('stderr'))
        return daemon

    def config(self, text):
        path = self.folder() / 'wsd.toml'
        path.write_text(text)
        return path

    async def test_an_unknown_flag_names_the_most_similar_one(self):
        await self.fails('--lisen', ':0', code=USAGE, says=['--lisen', '--listen'])

    async def test_a_flag_with_a_bad_value(self):
        await self.fails('--io-threads', 'many', code=USAGE, says=['--io-threads', 'many'])
        await self.fails('--ping-interval', '25 parsecs', code=USAGE, says=['--ping-interval', '25 parsecs'])
        await self.fails('--handler', 'chat', code=USAGE, says=['--handler', 'chat'])

    async def test_an_unknown_key_names_its_place_and_the_most_similar_key(self):
        path = self.config('# one\n[limits]\nmax_mesage = "1MiB"\n')
        await self.fails('--config', path, code=BAD_CONFIGURATION, says=[f'{path}:3', 'max_mesage', 'max_message'])

    async def test_a_bad_value_in_the_file(self):
        path = self.config('\n\nio_threads = "several"\n')
        await self.fails('--config', path, code=BAD_CONFIGURATION, says=[f'{path}:3', 'io_threads', 'integer'])

    async def test_a_file_that_is_not_toml(self):
        path = self.config('listen = [\n')
        await self.fails('--config', path, code=BAD_CONFIGURATION, says=[str(path)])

    async def test_a_missing_configuration_file(self):
        await self.fails('--config', '/nowhere/wsd.toml', code=BAD_CONFIGURATION, says=['/nowhere/wsd.toml'])

    async def test_a_bad_environment_variable(self):
        os.environ['WSD_WORKERS'] = 'lots'
        self.addCleanup(os.environ.pop, 'WSD_WORKERS')
        daemon = Wsd()
        daemon.env['WSD_WORKERS'] = 'lots'
        self.addAsyncCleanup(daemon.clean_up)
        await super(Wsd, daemon).start()
        self.assertEqual(await daemon.exit_code(), BAD_CONFIGURATION, daemon.text())
        self.assertIn('WSD_WORKERS', daemon.text('stderr'))

    async def test_a_port_in_use(self):
        with socket.create_server(('127.0.0.1', 0)) as taken:
            address = '127.0.0.1:%d' % taken.getsockname()[1]
            await self.fails(code=1, says=[address, 'in use'], listen=[address])

    async def test_a_port_in_use_by_another_wsd(self):
        first = await self.wsd()
        await self.fails(code=1, says=['%s:%d' % first.address, 'in use'], listen=['%s:%d' % first.address])
        await asyncio.to_thread(echoes, first)

    async def test_an_address_of_another_machine(self):
        await self.fails(code=1, says=['192.0.2.1:8080'], listen=['192.0.2.1:8080'])

    async def test_a_live_unix_socket_is_kept_and_a_stale_one_replaced(self):
        path = self.folder() / 'wsd.sock'
        first = await self.wsd(listen=[f'unix:{path}'])
        await self.fails(code=1, says=[str(path)], listen=[f'unix:{path}'])
        first.process.kill()
        await first.exit_code()
        self.assertTrue(path.exists())
        await self.wsd(listen=[f'unix:{path}'])

    async def test_an_unwritable_spool(self):
        file = self.folder() / 'file'
        file.write_text('')
        for spool in [pathlib.Path('/proc/wsd-spool'), file / 'spool']:  # where not even root may create a folder
            await self.fails('--spool', spool, code=1, says=[str(spool)], spool=False)

    async def test_a_missing_shared_object(self):
        await self.fails('--handler', 'chat=/nowhere/chat.so', code=1, says=['/nowhere/chat.so', 'chat'])

    async def test_a_file_that_is_not_a_shared_object(self):
        path = self.folder() / 'chat.so'
        path.write_text('not ELF')
        await self.fails('--handler', f'chat={path}', code=1, says=[str(path)])

    async def test_a_handler_that_crashes_at_the_start(self):
        for flags, code in ([], 1), (['--check-config'], BAD_CONFIGURATION):
            await self.fails(*flags, '--handler', f'bad={program("SLEEPER")}', '--handler-config', 'bad=crash', code=code,
                             says=['handlers.bad', program('SLEEPER'), 'it crashes at its start'])

    async def test_too_few_descriptors(self):
        for nofile in range(6, 40, 2):  # each step of the start lacks one
            with self.subTest(nofile):
                daemon = Wsd(nofile=nofile)
                self.processes.append(daemon)
                self.addAsyncCleanup(daemon.clean_up)
                await super(Wsd, daemon).start()
                try:
                    await daemon.line('listening', 'stdout')
                except AssertionError:  # it ended before
                    self.assertIn(await daemon.exit_code(), (1, 71, 78), daemon.text())
                    self.assertRegex(daemon.text('stderr'), '(?m)^wsd: ')
                else:
                    self.assertEqual(await daemon.stop(), 0)

    async def test_a_second_wsd_on_the_same_spool_or_pid_file(self):
        first = await self.wsd()
        await self.fails('--spool', first.spool, code=1, says=[str(first.spool), str(first.pid)], spool=False)
        await self.fails('--pid-file', first.folder / 'wsd.pid', code=1, says=['wsd.pid', str(first.pid)])
        await asyncio.to_thread(echoes, first)

    async def test_check_config_finds_the_same(self):
        bad = self.config('lissten = ":0"\n')
        checked = subprocess.run([program('WSD'), '--check-config', '--config', bad], capture_output=True, text=True,
                                 timeout=PATIENCE)
        self.assertEqual(checked.returncode, BAD_CONFIGURATION)
        self.assertIn(f'{bad}:1', checked.stderr)
        good = self.config('listen = ":0"\n')
        checked = subprocess.run([program('WSD'), '--check-config', '--config', good], capture_output=True, text=True,
                                 timeout=PATIENCE)
        self.assertEqual(checked.returncode, 0, checked.stderr)


def echoes(daemon):
    with Peer(daemon.address) as peer:
        peer.upgrade()
        peer.echoes()


class GoesOn(SystemTest):
    """A running wsd gets invalid input and continues."""

    async def asyncSetUp(self):
        self.daemon = await self.wsd('--spool-max-file', '64KiB')
        self.witness = Peer(self.daemon.address)
        self.addCleanup(self.witness.socket.close)
        self.witness.upgrade()

    async def asyncTearDown(self):
        await asyncio.to_thread(self.witness.echoes)
        # commands still work
        self.assertIn('receiver', await self.daemon.ctl('broadcast', 'still there'))
        self.assertEqual(await asyncio.to_thread(self.witness.message), (TEXT, b'still there'))

    async def refused(self, *words, code, says, stdin=b''):
        answered, out, err = await self.daemon.run_ctl(*words, stdin=stdin)
        self.assertEqual(answered, code, out + err)
        self.assertEqual(out, '')
        for part in says:
            self.assertIn(part, err)

    async def failed(self, name, content, *says):
        self.daemon.drop(name, content)
        folder, text = await self.daemon.answer(name)
        self.assertEqual(folder, 'failed')
        first = text.split('\n')[0]
        self.assertTrue(first.startswith('error '), text)
        for part in says:
            self.assertIn(part, first)

    async def test_a_word_that_does_not_exist(self):
        await self.refused('brodcast', 'hi', code=USAGE, says=['brodcast', 'broadcast'])
        await self.failed('a-word', 'brodcast\nhi', 'usage', 'brodcast', 'broadcast')

    async def test_an_option_that_does_not_exist(self):
        await self.refused('broadcast', '--subprotokol', 'chat', 'hi', code=USAGE, says=['--subprotokol', '--subprotocol'])
        await self.failed('an-option', 'broadcast --subprotokol chat\nhi', 'usage', '--subprotokol')

    async def test_bad_utf8_in_a_text(self):
        await self.refused('broadcast', '-', stdin=b'caf\xe9', code=1, says=['UTF-8', '--binary'])
        await self.failed('latin-1', b'broadcast\ncaf\xe9', 'bad-utf8', 'UTF-8', '--binary')

    async def test_an_id_that_is_gone(self):
        with Peer(self.daemon.address) as peer:
            peer.upgrade()
            name = '%s:%d' % peer.socket.getsockname()
            identity, = [row['id'] for row in await self.daemon.ctl_json('list') if row['peer'] == name]
            await self.daemon.ctl('close', identity)
            await asyncio.to_thread(peer.close_code)
        await self.refused('send', identity, 'hi', code=1, says=[identity, 'list'])
        await self.failed('gone', f'send {identity}\nhi', 'gone', identity)

    async def test_an_invalid_id(self):
        await self.refused('close', 'everybody', code=USAGE, says=['everybody'])

    async def test_a_close_code_that_may_not_be_sent(self):
        await self.refused('close', '--all', '--code', '1006', code=USAGE, says=['1006'])

    async def test_a_shared_object_that_is_missing(self):
        await self.refused('handler', 'load', 'chat', '/nowhere/chat.so', code=1, says=['/nowhere/chat.so'])

    async def test_a_log_level_that_does_not_exist(self):
        await self.refused('log-level', 'loud', code=2, says=['loud'])

    async def test_links_folders_and_pipes_in_the_spool(self):
        new = self.daemon.spool / 'new'
        secret = self.folder() / 'secret'
        secret.write_text('broadcast\nsecret')
        (new / 'a-link').symlink_to(secret)
        (new / 'a-folder').mkdir()
        os.mkfifo(new / 'a-fifo')
        os.link(secret, new / 'a-second-name')
        for name in ['a-link', 'a-folder', 'a-fifo', 'a-second-name']:
            with self.subTest(name):
                await self.daemon.line(name, 'stderr')  # the log has the name and the reason
        self.assertEqual(secret.read_text(), 'broadcast\nsecret')

    async def test_a_file_of_a_foreign_owner(self):
        if os.geteuid() != 0:
            self.skipTest('only root can give files away')
        draft = self.daemon.spool / 'tmp' / 'foreign'
        draft.write_text('broadcast\nI am nobody')
        os.chown(draft, 65534, 65534)
        draft.rename(self.daemon.spool / 'new' / 'foreign')
        folder, text = await self.daemon.answer('foreign')
        self.assertEqual(folder, 'failed')
        self.assertIn('foreign-owner', text)

    async def test_a_name_outside_the_alphabet(self):
        (self.daemon.spool / 'new' / 'white space').write_text('broadcast\nhi')
        await self.daemon.line('white', 'stderr')

    async def test_a_file_over_the_limit(self):
        await self.failed('too-big', b'broadcast\n' + b'x' * 70000, 'too-big')

    async def test_an_empty_file(self):
        await self.failed('empty', b'', 'usage')

    async def test_a_damaged_shared_object(self):
        whole = pathlib.Path(program('SLEEPER')).read_bytes()
        damaged = self.folder() / 'damaged.so'
        piece = len(whole) // 8
        for begin in range(0, len(whole), piece):
            damaged.write_bytes(whole[:begin] + bytes(piece) + whole[begin + piece:])
            await self.daemon.run_ctl('handler', 'load', 'damaged', damaged)  # refused, or nothing of it was needed
            await asyncio.to_thread(self.witness.echoes)

    async def test_a_shared_object_that_crashes_or_hangs(self):
        for config, says in (('crash', 'it crashes at its start: signal 6 (Aborted)'),
                             ('hang', 'its start does not end within 5000 ms')):
            with self.subTest(config):
                daemon = await self.wsd('--handler-config', f'bad={config}')
                code, _, error = await daemon.run_ctl('handler', 'load', 'bad', program('SLEEPER'))
                self.assertEqual(code, 1)
                self.assertIn(says, error)
                await asyncio.to_thread(echoes, daemon)

    async def test_a_half_written_file_is_never_seen(self):
        draft = self.daemon.spool / 'tmp' / 'half'
        draft.write_text('broadcast\nhal')
        await self.daemon.ctl('broadcast', 'after')  # a later command was executed, so this file would have been seen
        self.assertEqual(await asyncio.to_thread(self.witness.message), (TEXT, b'after'))
        self.assertTrue(draft.exists())

    async def test_a_bad_configuration_at_reload(self):
        path = self.folder() / 'wsd.toml'
        path.write_text('[limits]\nmax_message = "1MiB"\n')
        daemon = await self.wsd('--config', path)
        path.write_text('[limits]\nmax_mesage = "2MiB"\n')
        code, _, err = await daemon.run_ctl('reload')
        self.assertEqual(code, 1)
        self.assertIn(f'{path}:2', err)
        self.assertIn('max_message', err)
        await asyncio.to_thread(echoes, daemon)

    async def test_no_wsd_on_the_spool(self):
        code, _, err = await self.daemon.run_ctl('--spool', self.folder(), 'status')
        self.assertEqual(code, 3, err)

    async def test_commands_without_their_arguments(self):
        await self.refused('send', code=USAGE, says=['ID'])
        await self.refused('close', code=USAGE, says=['ID'])
        await self.refused('handler', code=USAGE, says=['handler'])


class OutOfDescriptors(SystemTest):
    async def test_accept_waits_without_spinning_and_serves_again(self):
        daemon = await self.wsd('--max-connections', '1000', nofile=64)  # the kernel's limit is the lower one
        witness = Peer(daemon.address)
        self.addCleanup(witness.socket.close)
        witness.upgrade()

        def crowd():
            return [Peer(daemon.address) for _ in range(100)]  # the kernel connects them before wsd accepts them

        def processor_seconds():
            fields = pathlib.Path(f'/proc/{daemon.pid}/stat').read_text().rsplit(')', 1)[1].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')

        peers = await asyncio.to_thread(crowd)
        for peer in peers:
            peer.send(request())
        await daemon.line('open files', 'stderr')

        def witness_for(seconds):
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                witness.echoes()
                time.sleep(0.05)  # measure processor time while there is little to do

        before = processor_seconds()
        await asyncio.to_thread(witness_for, 2)
        self.assertLess(processor_seconds() - before, 0.5, 'wsd spins while it has no descriptors')

        for peer in peers[:80]:
            peer.socket.close()

        def the_rest():
            for peer in peers[80:]:
                self.assertEqual(peer.head()[0], 101)
                peer.echoes()
                peer.socket.close()
        await asyncio.to_thread(the_rest)
        status, = await daemon.ctl_json('status')
        self.assertGreater(status['counters']['accept_pauses'], 0)


if __name__ == '__main__':
    main()
