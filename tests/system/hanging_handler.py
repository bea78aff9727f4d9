"""A shared object that hangs in create(), destroy() or on_command(): commands are executed, and TERM is obeyed."""
import asyncio
import signal

from harness import PATIENCE, Process, SystemTest, Wsd, main, program, websockets

ws = websockets()

SLEEPER = program('SLEEPER')
ENDED_BY_FORCE = 143


class HangingHandler(SystemTest):
    async def begin(self, *flags):
        """Starts a daemon that need not listen."""
        daemon = Wsd(*flags)
        self.processes.append(daemon)
        self.addAsyncCleanup(daemon.clean_up)
        return await Process.start(daemon)

    async def calls(self, daemon):
        status, = await daemon.ctl_json('status')
        return [call['call'] for call in status['calls']]

    async def names(self, daemon, call):
        async with asyncio.timeout(PATIENCE):
            while call not in await self.calls(daemon):
                pass  # each look starts a process, so this does not spin
        self.assertIn(f'{call} ', await daemon.ctl('status'))

    async def test_TERM_while_create_hangs_at_the_start(self):
        daemon = await self.begin('--handler', f'hang={SLEEPER}', '--handler-config', 'hang=hang later')
        await daemon.line('sleeper hangs', 'stderr')
        self.assertEqual(await daemon.stop(), 0)
        await daemon.line(f'has not returned call="create\\(\\) of {SLEEPER}"', 'stderr')
        self.assertFalse((daemon.folder / 'wsd.pid').exists())

    async def test_a_create_that_hangs_at_the_start_is_an_error(self):
        daemon = await self.begin('--handler', f'hang={SLEEPER}', '--handler-config', 'hang=hang later')
        self.assertEqual(await daemon.exit_code(), 1)
        self.assertIn('its start does not end within 8000 ms', daemon.text('stderr'))

    async def test_commands_and_TERM_while_create_hangs_during_a_reload(self):
        daemon = await self.wsd('--grace', '100ms', '--handler-config', 'hang=hang later')
        echo = await self.connect(daemon.url)
        (daemon.folder / 'empty.toml').write_text(f'[handlers]\nhang = "{SLEEPER}"\n')
        daemon.process.send_signal(signal.SIGHUP)
        await daemon.line('sleeper hangs', 'stderr')
        await self.names(daemon, f'create() of {SLEEPER}')
        await echo.send('still there?')
        self.assertEqual(await self.within(echo.recv()), 'still there?')
        code, _, error = await daemon.run_ctl('handler', 'unload', 'x')
        self.assertEqual(code, 1, error)
        self.assertEqual(await daemon.stop(), 0)

    async def test_a_handler_load_that_hangs_is_an_error_and_is_named(self):
        daemon = await self.wsd('--grace', '100ms', '--handler-config', 'hang=hang later')
        code, _, error = await daemon.run_ctl('handler', 'load', 'hang', SLEEPER)
        self.assertEqual(code, 1)
        self.assertIn('its start does not end within 8000 ms', error)
        await self.names(daemon, f'create() of {SLEEPER}')
        await daemon.ctl('handler', 'load', 'chat', 'broadcast')
        self.assertEqual(await daemon.stop(), 0)
        await daemon.line(r'wsd ends, and a handler has not returned', 'stderr')

    async def is_cut_by_TERM(self, daemon, *words):
        """The command that hangs has no answer, its caller knows why, and the next wsd does not repeat it."""
        pending = asyncio.ensure_future(daemon.run_ctl(*words))
        await daemon.line('sleeper hangs', 'stderr')
        name = next((daemon.spool / 'cur').glob('*~1')).name.removesuffix('~1')
        self.assertEqual(await daemon.stop(), 0)
        code, _, error = await self.within(pending)
        self.assertEqual(code, 3)
        self.assertIn('it stopped during the command', error)
        self.assertTrue((daemon.spool / 'cur' / f'{name}~1').exists())
        self.assertEqual(list((daemon.spool / 'failed').iterdir()), [])
        self.log = daemon.text('stderr')
        self.assertRegex(self.log, f'command file {name} .*: stopping')
        (daemon.folder / 'empty.toml').write_text('')
        await daemon.again()
        folder, text = await daemon.answer(name)
        self.assertEqual((folder, text.split()[:2]), ('failed', ['error', 'crashed']))

    async def test_TERM_during_a_handler_load_that_hangs(self):
        daemon = await self.wsd('--grace', '100ms', '--handler-config', 'hang=hang later')
        await self.is_cut_by_TERM(daemon, 'handler', 'load', 'hang', SLEEPER)

    async def test_TERM_during_a_reload_that_hangs(self):
        daemon = await self.wsd('--grace', '100ms', '--handler-config', 'hang=hang later')
        (daemon.folder / 'empty.toml').write_text(f'[handlers]\nhang = "{SLEEPER}"\n')
        await self.is_cut_by_TERM(daemon, 'reload')
        self.assertNotIn('invalid', self.log)

    async def test_a_destroy_that_hangs_is_named_and_TERM_is_obeyed(self):
        daemon = await self.wsd('--grace', '100ms', '--handler', f'hang={SLEEPER}',
                                '--handler-config', 'hang=hang at the end')
        await daemon.ctl('handler', 'unload', 'hang')
        await self.names(daemon, 'destroy() of sleeper')
        self.assertEqual(await daemon.stop(), 0)

    async def test_TERM_when_destroy_hangs_at_the_end(self):
        daemon = await self.wsd('--grace', '100ms', '--handler', f'a={SLEEPER}', '--handler', f'b={SLEEPER}',
                                '--handler-config', 'a=hang at the end', '--handler-config', 'b=hang at the end')
        self.assertEqual(await daemon.stop(), 0)
        await daemon.line(r'wsd ends, and a handler has not returned call="destroy\(\) of sleeper"', 'stderr', count=2)
        self.assertFalse((daemon.folder / 'wsd.pid').exists())

    async def test_an_on_command_that_hangs_is_named_and_TERM_is_obeyed(self):
        daemon = await self.wsd('--grace', '100ms', '--handler', f'sleep={SLEEPER}')
        code, _, error = await daemon.run_ctl('call', 'sleep', '/nowhere')
        self.assertEqual(code, 7, error)
        await self.names(daemon, 'on_command() of sleeper')
        self.assertEqual(await daemon.stop(), 0)

    async def test_the_second_TERM_ends_the_process_whatever_hangs(self):
        daemon = await self.wsd('--grace', '1h', '--handler', f'sleep={SLEEPER}')
        victim = await self.connect(daemon.url, subprotocols=['sleep'])
        await victim.send('good night')
        async with asyncio.timeout(PATIENCE):
            while not any(worker['handler'] for worker in (await daemon.ctl_json('status'))[0]['workers']):
                pass  # each look starts a process, so this does not spin
        daemon.process.send_signal(signal.SIGTERM)
        await self.within(victim.wait_closed())
        self.assertTrue(daemon.running)  # it waits for the worker within the grace
        self.assertEqual(await daemon.stop(), ENDED_BY_FORCE)
        self.assertIn('stopping at once', daemon.text('stderr'))

    async def test_a_crash_while_an_object_is_loaded_happens_once(self):
        daemon = await self.wsd('--handler-config', 'crash=crash later')
        daemon.drop('1', f'handler load crash {SLEEPER}')
        daemon.drop('2', 'broadcast after')
        self.assertEqual(await daemon.exit_code(), -signal.SIGABRT)
        await daemon.again()
        folder, text = await daemon.answer('1')
        self.assertEqual((folder, text.split()[:2]), ('failed', ['error', 'crashed']))
        self.assertEqual(await daemon.answer('2'), ('done', 'ok\n0 receivers\n'))


if __name__ == '__main__':
    main()
