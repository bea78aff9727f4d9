"""A new configuration while connections are open: it is applied completely or not at all."""
import asyncio
import shutil
import signal

from harness import SystemTest, main, program, websockets
from raw import Peer

ws = websockets()


class Reload(SystemTest):
    async def asyncSetUp(self):
        self.path = self.folder() / 'wsd.toml'

    def configure(self, text):
        """Replaces the file in one step, as an editor does."""
        draft = self.path.with_suffix('.new')
        draft.write_text(text)
        draft.replace(self.path)

    async def start(self, text, *flags):
        self.configure(text)
        return await self.wsd('--config', self.path, *flags)

    async def echoes(self, client, text='hello'):
        await client.send(text)
        self.assertEqual(await self.within(client.recv()), text)

    async def test_HUP_reads_it_again_and_connections_stay(self):
        daemon = await self.start('[limits]\nmax_message = "16MiB"\n')
        client = await self.connect(daemon.url)
        await self.echoes(client, 'x' * 5000)
        self.configure('[limits]\nmax_message = "1KiB"\n')
        daemon.process.send_signal(signal.SIGHUP)
        await daemon.line('configuration reloaded', 'stderr')
        await self.echoes(client, 'x' * 1024)
        await client.send('x' * 1025)  # the new limit applies to open connections, too
        await self.within(client.wait_closed())
        self.assertEqual(client.close_code, 1009)

    async def test_handlers_come_and_go(self):
        daemon = await self.start('[handlers]\na = "echo"\nb = "echo"\n')
        stays, goes, plain = [await self.connect(daemon.url, subprotocols=p) for p in (['a'], ['b'], None)]
        self.configure('[handlers]\na = "echo"\nc = "null"\n')
        out = await daemon.ctl('reload')
        self.assertIn('subprotocol c: null serves', out)
        self.assertIn('subprotocol b: no longer served', out)
        await self.within(goes.wait_closed())
        self.assertEqual(goes.close_code, 1012)
        await self.echoes(stays)
        await self.echoes(plain)
        self.assertEqual((await self.connect(daemon.url, subprotocols=['b', 'c'])).subprotocol, 'c')

    async def test_a_replaced_handler_keeps_its_connections_and_the_new_one_serves_new_ones(self):
        daemon = await self.start('default_handler = "echo"\n')
        old = await self.connect(daemon.url)
        self.configure('default_handler = "null"\n')
        await daemon.ctl('reload')
        await self.echoes(old)
        rows = await daemon.ctl_json('handler', 'list')
        self.assertEqual(rows[0]['handler'], 'null')
        new = await self.connect(daemon.url)
        await new.send('no answer')
        await self.within(await new.ping())
        self.assertEqual({row['handler'] for row in await daemon.ctl_json('list')}, {'echo', 'null'})

    async def test_a_shared_object_is_loaded_again_if_its_file_has_changed(self):
        handler = self.folder() / 'handler.so'
        shutil.copy(program('SLEEPER'), handler)
        daemon = await self.start(f'[handlers]\nr = "{handler}"\n')
        self.assertNotIn('serves', await daemon.ctl('reload'))
        fresh = handler.with_suffix('.new')
        shutil.copy(program('SLEEPER'), fresh)
        fresh.replace(handler)
        self.assertIn(f'subprotocol r: {handler} serves', await daemon.ctl('reload'))

    async def test_the_configuration_of_a_shared_object_can_change(self):
        records = [self.folder() / name for name in ('first', 'second')]
        text = f'[handlers]\nr = "{program("RECORDER")}"\n[handler_config]\nr = "%s"\n'
        daemon = await self.start(text % records[0])
        self.configure(text % records[1])
        self.assertIn('subprotocol r: ', await daemon.ctl('reload'))
        await daemon.ctl('call', 'r', 'hello')
        self.assertEqual([record.read_text() for record in records], ['', 'hello\n'])

    async def test_settings_that_need_a_restart_are_reported_and_not_applied(self):
        daemon = await self.start('', '--io-threads', '1')
        client = await self.connect(daemon.url)
        # Flags override the file, so the listener of the command line stays.
        self.configure('listen = ["127.0.0.1:1"]\nworkers = 7\ncontrol_stdin = true\n')
        out = await daemon.ctl('reload')
        self.assertIn('needs a restart: workers, control_stdin', out)
        await daemon.line('changes that need a restart settings="workers, control_stdin"', 'stderr')
        await self.echoes(client)
        await self.echoes(await self.connect(daemon.url))
        self.configure('')
        self.assertNotIn('restart', await daemon.ctl('reload'))

    async def test_warnings_are_in_the_answer(self):
        daemon = await self.start('')
        self.assertNotIn('warning', await daemon.ctl('reload'))
        self.path.chmod(0o666)
        self.assertIn(f'warning: the configuration {self.path} is world-writable', await daemon.ctl('reload'))
        await daemon.line(f'the configuration {self.path} is world-writable', 'stderr')

    async def test_listeners_of_the_file_are_not_moved(self):
        self.configure('listen = ["127.0.0.1:0"]\n')
        daemon = await self.wsd('--config', self.path, listen=[])
        url = (await daemon.line(r'listening on (\S+)', 'stdout'))[1]
        self.configure('listen = ["127.0.0.1:0", "127.0.0.1:0"]\n')
        self.assertIn('needs a restart: listen', await daemon.ctl('reload'))
        await self.echoes(await self.connect(url))

    async def test_the_log_changes_its_level_its_form_and_its_file(self):
        daemon = await self.start('')
        file = self.folder() / 'wsd.log'
        self.configure(f'[log]\nlevel = "debug"\nformat = "json"\nfile = "{file}"\n')
        await daemon.ctl('reload')
        await (await self.connect(daemon.url)).close()
        self.assertEqual(await daemon.stop(), 0)
        self.assertIn('"message":"connection ended"', file.read_text())
        self.assertNotIn('connection ended', daemon.text('stderr'))

    async def test_a_bad_configuration_is_reported_and_not_applied(self):
        daemon = await self.start('[limits]\nmax_message = "1KiB"\n[handlers]\na = "echo"\n')
        client = await self.connect(daemon.url, subprotocols=['a'])
        bad = [('[limits]\nmax_mesage = "2KiB"\n', rf'{self.path}:2:1: limits\.max_mesage: unknown key; did you mean'),
               ('[limits]\nmax_message = "2KiX"\n', rf'{self.path}:2:15: '),
               ('this is not TOML', rf'{self.path}:1:'),
               ('default_handler = "null"\n[handlers]\na = "/nowhere/a.so"\n', r'handlers\.a .*/nowhere/a\.so'),
               ('default_handler = "null"\n[log]\nfile = "/nowhere/wsd.log"\n', '/nowhere/wsd.log'),
               ('[limits]\nsend_high_mark = "2MiB"\nsend_hard_limit = "1MiB"\n', 'send_high_mark')]
        for text, complaint in bad:
            with self.subTest(text):
                self.configure(text)
                mark = daemon.mark()
                daemon.process.send_signal(signal.SIGHUP)
                await daemon.line(complaint, 'stderr', after=mark)
                await daemon.line('the old one stays', 'stderr', after=mark)
                await self.echoes(client)
                rows = {row['subprotocol']: row['handler'] for row in await daemon.ctl_json('handler', 'list')}
                self.assertEqual(rows, {'': 'echo', 'a': 'echo'})
        self.path.unlink()
        code, _, err = await daemon.run_ctl('reload')
        self.assertEqual(code, 1)
        self.assertIn(str(self.path), err)
        await daemon.line('command file .*: reload: failed$', 'stderr')
        reasons = [line for line in daemon.text('stderr').splitlines() if f'{self.path}: ' in line]
        self.assertEqual(len(reasons), 1, reasons)  # the log says why once
        await client.send('x' * 1025)  # the old limit still applies
        await self.within(client.wait_closed())
        self.assertEqual(client.close_code, 1009)

    async def test_a_handler_that_a_command_loaded_stays(self):
        daemon = await self.start('')
        await daemon.ctl('handler', 'load', 'chat', 'broadcast')
        client = await self.connect(daemon.url, subprotocols=['chat'])
        await daemon.ctl('reload')
        self.assertEqual((await self.connect(daemon.url, subprotocols=['chat'])).subprotocol, 'chat')
        await self.within(await client.ping())

    async def test_origins_apply_to_new_connections(self):
        daemon = await self.start('allowed_origins = ["https://example.org"]\n')
        client = await self.connect(daemon.url, origin='https://example.org')
        self.configure('')
        await daemon.ctl('reload')
        with self.assertRaises(ws.exceptions.InvalidStatusCode) as refused:
            await self.connect(daemon.url, origin='https://example.org')
        self.assertEqual(refused.exception.status_code, 403)
        await self.echoes(client)

    async def test_under_load_nothing_is_lost(self):
        daemon = await self.start('')
        stop = asyncio.Event()

        async def talk():
            client = await self.connect(daemon.url)
            count = 0
            while not stop.is_set():
                await self.echoes(client, f'{count}')
                count += 1
            return count
        talkers = [asyncio.ensure_future(talk()) for _ in range(20)]
        for number in range(30):
            self.configure(f'[limits]\nmax_message = "{number + 1}KiB"\n' if number % 3 else 'workrs = 1\n')
            code, _, err = await daemon.run_ctl('reload')
            self.assertEqual(code, 0 if number % 3 else 1, err)
        stop.set()
        for count in await asyncio.gather(*talkers):
            self.assertGreater(count, 0)


if __name__ == '__main__':
    main()
