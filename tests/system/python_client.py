"""wsd serves a client of another project: Python's websockets."""
import asyncio
import os
import unittest

from harness import PATIENCE, SystemTest, main, websockets

ws = websockets()


class PythonClient(SystemTest):
    async def test_text_and_binary_are_echoed_unchanged(self):
        daemon = await self.wsd()
        client = await self.connect(daemon.url)
        for message in ['', 'hello', 'Grüße, 世界 🌍', 'x' * 125, 'x' * 126, 'x' * 65535, 'x' * 65536,
                        b'', b'\x00\xff' * 63, bytes(range(256)) * 1024]:
            await client.send(message)
            self.assertEqual(await self.within(client.recv()), message)

    async def test_a_large_message_is_echoed(self):
        daemon = await self.wsd()
        client = await self.connect(daemon.url, max_size=None)
        message = os.urandom(16 << 20)  # exactly the default limit
        await client.send(message)
        self.assertEqual(await self.within(client.recv()), message)

    async def test_a_message_over_the_limit_is_closed_with_1009(self):
        daemon = await self.wsd('--max-message', '64KiB')
        client = await self.connect(daemon.url)
        await client.send(b'x' * 65536)
        self.assertEqual(len(await self.within(client.recv())), 65536)
        await client.send(b'x' * 65537)
        with self.assertRaises(ws.ConnectionClosedError):
            await self.within(client.recv())
        self.assertEqual(client.close_code, 1009)

    async def test_fragments_are_echoed_as_one_message(self):
        daemon = await self.wsd()
        client = await self.connect(daemon.url)
        await client.send(['frag', 'ments ', '', 'of \u00fc', 'ber'])
        self.assertEqual(await self.within(client.recv()), 'fragments of \u00fcber')
        await client.send([b'\x00' * 70000, b'\x01' * 3])
        self.assertEqual(await self.within(client.recv()), b'\x00' * 70000 + b'\x01' * 3)

    async def test_pings_are_answered_with_their_payload(self):
        daemon = await self.wsd()
        client = await self.connect(daemon.url)
        for payload in [b'', b'sixteen bytes..', b'p' * 125]:
            pong = await client.ping(payload)  # the library matches the pong by its payload
            await self.within(pong)

    async def test_the_clients_close_code_is_echoed(self):
        daemon = await self.wsd()
        for code in [1000, 1001, 1003, 3000, 4999]:
            client = await self.connect(daemon.url)
            await self.within(client.close(code, 'as you like'))
            self.assertEqual(client.close_code, code)

    async def test_the_servers_close_has_code_and_reason(self):
        daemon = await self.wsd()
        client = await self.connect(daemon.url)
        identity = (await daemon.ctl_json('list'))[0]['id']
        await daemon.ctl('close', identity, '--code', '4001', '--reason', 'not you')
        await self.within(client.wait_closed())
        self.assertEqual((client.close_code, client.close_reason), (4001, 'not you'))

    async def test_subprotocols(self):
        daemon = await self.wsd('--handler', 'chat=broadcast', '--handler', 'echo=echo')
        self.assertEqual((await self.connect(daemon.url, subprotocols=['nobody', 'echo'])).subprotocol, 'echo')
        self.assertEqual((await self.connect(daemon.url, subprotocols=['chat', 'echo'])).subprotocol, 'chat')
        # RFC 6455 §4.2.2: an unknown one is declined by omitting the field; the default handler serves
        stranger = await self.connect(daemon.url, subprotocols=['nobody'])
        self.assertIsNone(stranger.subprotocol)
        await stranger.send('echo?')
        self.assertEqual(await self.within(stranger.recv()), 'echo?')

    async def test_broadcast_reaches_all_others_of_the_subprotocol(self):
        daemon = await self.wsd('--handler', 'chat=broadcast')
        one, two, three = [await self.connect(daemon.url, subprotocols=['chat']) for _ in range(3)]
        outsider = await self.connect(daemon.url)
        await one.send('from one')
        self.assertEqual(await self.within(two.recv()), 'from one')
        self.assertEqual(await self.within(three.recv()), 'from one')
        await two.send(b'from two')
        self.assertEqual(await self.within(one.recv()), b'from two')  # and not its own text
        await outsider.send('echo')
        self.assertEqual(await self.within(outsider.recv()), 'echo')  # and nothing of the chat

    async def test_many_messages_keep_their_order(self):
        daemon = await self.wsd()
        client = await self.connect(daemon.url)

        async def talk():
            for number in range(2000):
                await client.send(str(number))

        talking = asyncio.ensure_future(talk())
        for number in range(2000):
            self.assertEqual(await self.within(client.recv()), str(number))
        await talking

    async def test_null_ignores_messages_and_stays_open(self):
        daemon = await self.wsd('--handler', 'sink=null')
        client = await self.connect(daemon.url, subprotocols=['sink'])
        for _ in range(100):
            await client.send('into the void')
        await self.within(await client.ping())
        await self.within(client.close())
        self.assertEqual(client.close_code, 1000)
        await daemon.stop()

    async def test_over_a_unix_socket(self):
        path = self.folder() / 'wsd.sock'
        daemon = await self.wsd(listen=[f'unix:{path}'])
        self.assertEqual(daemon.url, f'ws+unix:{path}')
        client = await self.within(ws.unix_connect(str(path), 'ws://localhost/', ping_interval=None))
        self.addAsyncCleanup(client.close)
        await client.send('through a file')
        self.assertEqual(await self.within(client.recv()), 'through a file')
        self.assertTrue((await daemon.ctl_json('list'))[0]['peer'].startswith('unix:'))

    async def test_over_ipv6_and_ipv4_at_once(self):
        daemon = await self.wsd(listen=['[::1]:0', '127.0.0.1:0'])
        self.assertRegex(daemon.urls[0], r'^ws://\[::1\]:\d+$')
        for url in daemon.urls:
            client = await self.connect(url)
            await client.send(url)
            self.assertEqual(await self.within(client.recv()), url)
        peers = sorted(row['peer'] for row in await daemon.ctl_json('list'))
        self.assertRegex(peers[0], r'^127\.0\.0\.1:\d+$')
        self.assertRegex(peers[1], r'^\[::1\]:\d+$')

    async def test_a_foreign_origin_is_refused_and_the_own_host_accepted(self):
        daemon = await self.wsd()
        host, port = daemon.address
        with self.assertRaises(ws.InvalidStatusCode) as refusal:
            await ws.connect(daemon.url, origin='https://evil.example', open_timeout=PATIENCE)
        self.assertEqual(refusal.exception.status_code, 403)
        await self.connect(daemon.url, origin=f'http://{host}:{port}')
        listed = await self.wsd('--allowed-origin', 'https://good.example')
        await self.connect(listed.url, origin='https://good.example')
        subdomains = await self.wsd('--allowed-origin', 'https://*.example.org')
        await self.connect(subdomains.url, origin='https://a.b.example.org')
        anyone = await self.wsd('--allowed-origin', '*')
        await self.connect(anyone.url, origin='https://evil.example')

    async def test_stop_closes_with_1001_and_exits_with_0(self):
        daemon = await self.wsd()
        clients = [await self.connect(daemon.url) for _ in range(5)]
        self.assertEqual(await daemon.stop(), 0)
        for client in clients:
            await self.within(client.wait_closed())
            self.assertEqual(client.close_code, 1001)

    async def test_commands_see_and_reach_the_connection(self):
        daemon = await self.wsd('--handler', 'chat=broadcast')
        client = await self.connect(daemon.url, subprotocols=['chat'])
        row, = await daemon.ctl_json('list')
        self.assertEqual((row['subprotocol'], row['handler']), ('chat', 'broadcast'))
        await daemon.ctl('send', row['id'], 'only for you')
        self.assertEqual(await self.within(client.recv()), 'only for you')
        await daemon.ctl('broadcast', 'for all')
        self.assertEqual(await self.within(client.recv()), 'for all')
        await daemon.ctl('broadcast', '--binary', '-', stdin=b'\x00\xff')
        self.assertEqual(await self.within(client.recv()), b'\x00\xff')
        await daemon.ctl('ping', row['id'])
        shown, = await daemon.ctl_json('show', row['id'])
        self.assertEqual(shown['id'], row['id'])
        self.assertEqual(shown['messages_out'], 3)


if __name__ == '__main__':
    main()
