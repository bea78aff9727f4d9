"""The code of a handler is replaced while its connections are open: by command, by HUP, and when its file changes.

WSSERVER_RELOADS: how often it is replaced under load.
"""
import asyncio
import os
import re
import shutil
import signal

from harness import SystemTest, main, raise_descriptor_limit, websockets
from raw import PING, PONG, TEXT, frame, request

RELOADS = int(os.environ.get('WSSERVER_RELOADS', '50'))
CONNECTIONS = 1000
raise_descriptor_limit(CONNECTIONS + 500)


class Numbered(asyncio.Protocol):
    """Sends texts as fast as they are answered. Each answer must have the next number of the connection."""

    def __init__(self, codes):
        self.codes = codes  # that have answered, of all connections
        self.count = 0
        self.received = b''
        self.wrong = []
        self.is_open = self.stops = False
        self.stopped = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        transport.write(request(Sec_WebSocket_Protocol='x'))

    def data_received(self, data):
        self.received += data
        if not self.is_open:
            if b'\r\n\r\n' not in self.received:
                return
            self.received = self.received.partition(b'\r\n\r\n')[2]
            self.is_open = True
            self.transport.write(frame(TEXT, b'm'))
        while len(self.received) >= 2 and len(self.received) >= 2 + self.received[1]:
            size = self.received[1]
            opcode, payload = self.received[0] & 0x0F, self.received[2:2 + size]
            self.received = self.received[2 + size:]
            self.take(opcode, payload)

    def take(self, opcode, payload):
        if opcode == PING:
            return self.transport.write(frame(PONG, payload))
        self.count += 1
        answer = re.fullmatch(rb'(\d) m (\d+) of \d+', payload)
        if opcode != TEXT or not answer or int(answer[2]) != self.count:
            self.wrong.append((opcode, payload))
        else:
            self.codes.add(answer[1])
        if self.stops:
            self.stopped.set_result(None)
        else:
            self.transport.write(frame(TEXT, b'm'))

    def connection_lost(self, error):
        if not self.stopped.done():
            self.wrong.append(('ended', error))
            self.stopped.set_result(None)


class HandlerReload(SystemTest):
    def install(self, version):
        """Replaces the shared object as a compiler and `mv` do."""
        self.place = getattr(self, 'place', None) or self.folder()
        path = f'{self.place}/ledger.so'
        shutil.copyfile(os.environ[f'LEDGER_{version}'], path + '.new')
        os.rename(path + '.new', path)
        return path

    async def ask(self, client, text):
        await client.send(text)
        return await self.within(client.recv())

    async def test_connections_lose_nothing_under_load(self):
        daemon = await self.wsd('--handler', f'x={self.install(1)}', '--ping-interval', '1h', '--log-level', 'warning',
                                nofile=CONNECTIONS + 400)
        loop, codes = asyncio.get_running_loop(), set()
        clients = []
        for _ in range(CONNECTIONS):
            clients.append((await loop.create_connection(lambda: Numbered(codes), *daemon.address))[1])
        level = None
        for number in range(RELOADS):
            self.install(2 - number % 2)
            await daemon.ctl('handler', 'reload', 'x')
            if number == 20:
                level = daemon.footprint()
        for client in clients:
            client.stops = True
        await self.within(asyncio.gather(*(client.stopped for client in clients)))
        self.assertEqual([client.wrong for client in clients if client.wrong], [])
        self.assertEqual(codes, {b'1', b'2'})
        self.assertTrue(all(client.count > 0 for client in clients))

        # All connections are served by the last code, and no old code is left.
        async def report():
            return [one for one in await daemon.ctl_json('handler', 'list') if one['subprotocol'] == 'x'][0]
        while (await report())['old_versions'] > 0:
            await asyncio.sleep(0.05)
        last = await report()
        self.assertEqual((last['version'], last['connections'], last['old']), (RELOADS + 1, CONNECTIONS, 0))
        if level:
            descriptors, memory = daemon.footprint()
            self.assertLessEqual(descriptors, level[0] + 2)
            self.assertLess(memory, level[1] + 16 * 1024)  # KiB
        messages = sum(client.count for client in clients)
        print(f'{RELOADS} reloads, {messages} messages')
        for client in clients:
            client.transport.abort()

    async def test_a_changed_file_is_loaded_on_hup_or_by_itself(self):
        daemon = await self.wsd('--handler', f'x={self.install(1)}', '--watch-handlers')
        client = await self.connect(daemon.url, subprotocols=['x'])
        self.assertEqual(await self.ask(client, 'a'), '1 a 1 of 1')
        self.install(2)
        await daemon.line('handler reloaded')
        self.assertEqual(await self.ask(client, 'b'), '2 b 2 of 2')

        quiet = await self.wsd('--handler', f'x={self.install(1)}')
        other = await self.connect(quiet.url, subprotocols=['x'])
        self.assertEqual(await self.ask(other, 'a'), '1 a 1 of 1')
        self.install(2)
        os.kill(quiet.pid, signal.SIGHUP)
        await quiet.line('serves with its new code')
        self.assertEqual(await self.ask(other, 'b'), '2 b 2 of 2')

    async def test_code_that_cannot_start_leaves_the_old_one(self):
        path = self.install(1)
        daemon = await self.wsd('--handler', f'x={path}')
        client = await self.connect(daemon.url, subprotocols=['x'])
        self.assertEqual(await self.ask(client, 'a'), '1 a 1 of 1')
        with open(os.environ['LEDGER_2'], 'rb') as whole:
            half = whole.read()[:5000]
        for content, expected in ((half, 'ends too early'), (b'text', 'not a shared object'), (None, 'No such file')):
            os.remove(path)
            if content is not None:
                with open(path, 'wb') as file:
                    file.write(content)
            code, _, error = await daemon.run_ctl('handler', 'reload', 'x')
            self.assertEqual(code, 1)
            self.assertIn(expected, error)
        self.assertEqual(await self.ask(client, 'b'), '1 b 2 of 2')
        code, _, error = await daemon.run_ctl('handler', 'reload', 'default')
        self.assertEqual(code, 1)
        self.assertIn('built in', error)
        self.install(2)
        self.assertIn('serves with its new code', await daemon.ctl('handler', 'reload', '--all'))
        self.assertEqual(await self.ask(client, 'c'), '2 c 3 of 3')

    async def test_connections_of_a_handler_that_is_unloaded_are_closed_or_given_away(self):
        daemon = await self.wsd('--handler', f'x={self.install(1)}', '--handler', f'y={self.install(1)}',
                                '--default-handler', self.install(2))
        closed = await self.connect(daemon.url, subprotocols=['y'])
        await daemon.ctl('handler', 'unload', 'y')
        await self.within(closed.wait_closed())
        self.assertEqual(closed.close_code, 1012)

        client = await self.connect(daemon.url, subprotocols=['x'])
        self.assertEqual(await self.ask(client, 'a'), '2 a 1 of 1')
        await daemon.ctl('handler', 'unload', 'x', '--to-default')
        self.assertEqual(await self.ask(client, 'b'), '2 b 1 of 1')
        with self.assertRaises(websockets().exceptions.InvalidHandshake):
            await self.connect(daemon.url, subprotocols=['x'], origin=daemon.url.replace('ws', 'http', 1))
        self.install(1)
        await daemon.ctl('handler', 'reload', 'default')  # those that it has taken over follow
        self.assertEqual(await self.ask(client, 'c'), '1 c 2 of 2')


if __name__ == '__main__':
    main()
