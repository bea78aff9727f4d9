"""What commands do to connections and to the daemon, seen from both ends."""
import asyncio
import os
import stat

from harness import PATIENCE, SystemTest, main, websockets

ws = websockets()


class Commands(SystemTest):
    async def test_drain_refuses_new_ones_and_keeps_the_old(self):
        daemon = await self.wsd()
        client = await self.connect(daemon.url)
        await daemon.ctl('drain')
        with self.assertRaises(OSError):
            await ws.connect(daemon.url)
        await client.send('still here')
        self.assertEqual(await self.within(client.recv()), 'still here')
        self.assertTrue((await daemon.ctl_json('status'))[0]['draining'])

    async def test_undrain_welcomes_new_ones_again(self):
        daemon = await self.wsd()
        old = await self.connect(daemon.url)
        await daemon.ctl('drain')
        self.assertIn('accepted again', await daemon.ctl('undrain'))
        new = await self.connect(daemon.url)
        for client in (old, new):
            await client.send('hello')
            self.assertEqual(await self.within(client.recv()), 'hello')
        reader, writer = await asyncio.open_connection(*daemon.address)
        writer.write(b'GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
        self.assertIn(b'200 OK', await self.within(reader.readline()))
        writer.close()
        status, = await daemon.ctl_json('status')
        self.assertFalse(status['draining'])
        self.assertEqual(status['listening'], [daemon.url])
        await daemon.line('new connections are accepted again')

    async def test_list_is_filtered_and_sorted_by_wsd(self):
        daemon = await self.wsd('--handler', 'chat=broadcast')
        old, chat = await self.connect(daemon.url), await self.connect(daemon.url, subprotocols=['chat'])
        await chat.send('x' * 10_000)
        await old.send('hello')
        self.assertEqual(await self.within(old.recv()), 'hello')

        async def handlers(*options):
            return [row['handler'] for row in await daemon.ctl_json('list', *options)]
        self.assertEqual(await handlers('--subprotocol', 'chat'), ['broadcast'])
        self.assertEqual(await handlers('--handler', 'echo', '--peer', '127.0.0.1'), ['echo'])
        self.assertEqual(await handlers('--peer', '192.0.2.1'), [])
        async with asyncio.timeout(PATIENCE):
            while await handlers('--sort', 'bytes') != ['broadcast', 'echo']:
                pass  # the reactor of `chat` may not have read its message yet
        self.assertEqual(await handlers('--sort', 'bytes', '--reverse', '--limit', '1'), ['echo'])
        self.assertIn('\n1 of 2 connections\n', await daemon.ctl('list', '--limit', '1'))

    async def test_stop_by_command(self):
        daemon = await self.wsd()
        client = await self.connect(daemon.url)
        await daemon.ctl('stop')
        await self.within(client.wait_closed())
        self.assertEqual(client.close_code, 1001)
        self.assertEqual(await daemon.exit_code(), 0)
        code, _, err = await daemon.run_ctl('status')
        self.assertEqual(code, 3, err)

    async def test_handlers_come_and_go_while_connections_stay(self):
        daemon = await self.wsd()
        old = await self.connect(daemon.url)
        await daemon.ctl('handler', 'load', 'late', 'echo')
        late = await self.connect(daemon.url, subprotocols=['late'])
        self.assertEqual(late.subprotocol, 'late')
        await daemon.ctl('handler', 'unload', 'late')
        await self.within(late.wait_closed())
        self.assertEqual(late.close_code, 1012)
        await old.send('untouched')
        self.assertEqual(await self.within(old.recv()), 'untouched')

    async def test_a_shared_object_comes_and_goes_by_command(self):
        daemon = await self.wsd()
        for name in ('counter', 'rooms'):
            await daemon.ctl('handler', 'load', name, os.environ[f'HANDLER_{name.upper()}'])
        counted = await self.connect(daemon.url, subprotocols=['counter'])
        for number in ('1', '2'):
            await counted.send('anything')
            self.assertEqual(await self.within(counted.recv()), number)
        self.assertIn('2', await daemon.ctl('call', 'counter', 'total'))
        await daemon.ctl('handler', 'load', 'default', os.environ['HANDLER_COUNTER'])
        self.assertIn('0', await daemon.ctl('call', 'default', 'total'))
        await daemon.ctl('handler', 'unload', 'counter')
        await self.within(counted.wait_closed())
        self.assertEqual(counted.close_code, 1012)
        still = await self.connect(daemon.url, subprotocols=['rooms'])
        self.assertEqual(still.subprotocol, 'rooms')

    async def test_a_name_that_no_subprotocol_can_have_is_refused(self):
        daemon = await self.wsd()
        for name in ('a=b', 'two words'):
            code, _, err = await daemon.run_ctl('handler', 'load', name, os.environ['HANDLER_COUNTER'])
            self.assertEqual(code, 1, err)
            self.assertIn(f"`{name}` cannot be a subprotocol name", err)

    async def test_ping_gives_the_round_trip(self):
        daemon = await self.wsd()
        client = await self.connect(daemon.url)
        row, = await daemon.ctl_json('list')
        self.assertIsNone(row['rtt_ms'])
        await daemon.ctl('ping', row['id'])
        async with asyncio.timeout(PATIENCE):
            while (await daemon.ctl_json('show', row['id']))[0]['rtt_ms'] is None:
                pass  # each look is a process: no spinning
        await self.within(client.close())

    async def test_the_spool_is_nobody_elses(self):
        daemon = await self.wsd()
        for folder in ('tmp', 'new', 'cur', 'done', 'failed'):
            mode = os.stat(daemon.spool / folder).st_mode
            self.assertFalse(stat.S_IMODE(mode) & 0o002, f'{folder}: {stat.filemode(mode)}')


if __name__ == '__main__':
    main()
