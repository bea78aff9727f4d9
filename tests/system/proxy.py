"""What wsd has to do behind a reverse proxy; proxy_nginx.py and proxy_apache.py bring the proxy.

The proxy runs with the very file of docs/, in which only addresses are replaced; and, where a test waits for it, its
timeout, by 6 s, as wsd's ping interval is by 1 s: the ratio is what counts, and nobody wants to wait minutes for it.
"""
import asyncio
import os
import random
import socket

from harness import PATIENCE, ROOT, SystemTest, websockets
from raw import PING, PONG, Peer, frame

ws = websockets()
SHORT = 6  # seconds of a proxy's timeout: more than a busy machine lets a process wait


def free_port():
    """A port that was free just now: a proxy can't be asked which it took. Not one of those that the kernel gives out
    by itself, lest it gives it to somebody else in the meantime."""
    for _ in range(1000):
        with socket.socket() as probe:
            port = random.randrange(15000, 30000)
            try:
                probe.bind(('127.0.0.1', port))
                return port
            except OSError:
                pass
    raise AssertionError('no free port between 15000 and 30000')


def snippet(name, replacements):
    """The file of docs/, with each of the replacements done, which must all be needed."""
    text = (ROOT / 'docs' / name).read_text()
    for old, new in replacements.items():
        assert old in text, f'docs/{name} no longer says {old!r}'
        text = text.replace(old, new)
    return text


class BehindAProxy:
    """start_proxy(daemon, timeout) gives the port on which the proxy passes on to the daemon."""

    async def start(self, *flags, timeout=60):
        daemon = await self.wsd('--demo', *flags)
        return daemon, await self.start_proxy(daemon, timeout)

    async def ready(self, port, process):
        """Waits until the proxy takes connections."""
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    _, writer = await asyncio.open_connection('127.0.0.1', port)
                    writer.close()
                    return
                except ConnectionRefusedError:
                    if not process.running:
                        raise AssertionError(f'the proxy ended:\n{process.text()}')
                    await asyncio.sleep(0.02)  # a server that says nothing when it listens can only be asked

    async def test_the_page_comes_through(self):
        daemon, port = await self.start()
        reader, writer = await asyncio.open_connection('127.0.0.1', port)
        writer.write(f'GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n'.encode())
        answer = await self.within(reader.read())
        self.assertTrue(answer.startswith(b'HTTP/1.1 200'), answer[:200])
        self.assertIn(b'<title>wsd chat</title>', answer)
        writer.close()

    async def test_chat_with_a_browsers_origin(self):
        daemon, port = await self.start()
        url, origin = f'ws://127.0.0.1:{port}/', f'http://127.0.0.1:{port}'
        one = await self.connect(url, subprotocols=['chat'], origin=origin)
        two = await self.connect(url, subprotocols=['chat'], origin=origin)
        self.assertEqual(one.subprotocol, 'chat')
        await one.send('through the proxy')
        self.assertEqual(await self.within(two.recv()), 'through the proxy')
        await daemon.ctl('broadcast', 'and from the shell')
        for client in (one, two):
            self.assertEqual(await self.within(client.recv()), 'and from the shell')

    async def test_a_foreign_origin_is_still_refused(self):
        daemon, port = await self.start()
        with self.assertRaises(ws.InvalidStatusCode) as refusal:
            await ws.connect(f'ws://127.0.0.1:{port}/', origin='https://evil.example', open_timeout=PATIENCE)
        self.assertEqual(refusal.exception.status_code, 403)

    async def test_pings_and_closes_pass_both_ways(self):
        daemon, port = await self.start()
        client = await self.connect(f'ws://127.0.0.1:{port}/')
        await self.within(await client.ping(b'through'))
        await self.within(client.close(4001, 'enough'))
        self.assertEqual(client.close_code, 4001)
        client = await self.connect(f'ws://127.0.0.1:{port}/')
        await daemon.ctl('close', '--all', '--code', '4002', '--reason', 'go')
        await self.within(client.wait_closed())
        self.assertEqual((client.close_code, client.close_reason), (4002, 'go'))

    async def test_large_messages_pass_both_ways(self):
        daemon, port = await self.start()
        client = await self.connect(f'ws://127.0.0.1:{port}/', max_size=None)
        message = os.urandom(8 << 20)
        await client.send(message)
        self.assertEqual(await self.within(client.recv()), message)

    async def test_pings_keep_an_idle_connection_for_longer_than_the_proxys_patience(self):
        daemon, port = await self.start('--ping-interval', '1s', timeout=SHORT)

        def script():
            with Peer(('127.0.0.1', port)) as peer:
                peer.upgrade()
                for _ in range(10):  # 10 s without a message; the proxy gives up after 6
                    _, opcode, payload = peer.frame()
                    self.assertEqual(opcode, PING)
                    peer.send(frame(PONG, payload))
                peer.echoes()
        await asyncio.to_thread(script)

    async def test_without_pings_the_proxy_cuts_an_idle_connection(self):
        """Shows that the test above tests something."""
        daemon, port = await self.start('--ping-interval', '0s', timeout=SHORT)

        def script():
            with Peer(('127.0.0.1', port)) as peer:
                peer.upgrade()
                peer.ended()
        await asyncio.to_thread(script)

    async def test_wsd_restarts_behind_the_proxy(self):
        daemon, port = await self.start()
        client = await self.connect(f'ws://127.0.0.1:{port}/')
        self.assertEqual(await daemon.stop(), 0)
        await self.within(client.wait_closed())
        self.assertEqual(client.close_code, 1001)
        await daemon.again()
        # nginx remembers a failed server for 10 s only if a request met it; none did
        client = await self.connect(f'ws://127.0.0.1:{port}/')
        await client.send('back')
        self.assertEqual(await self.within(client.recv()), 'back')
