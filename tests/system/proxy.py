"""Tests of wsd behind a reverse proxy; proxy_nginx.py and proxy_apache.py start the proxy.

The proxy runs with the file in docs/, in which only addresses and the site's folder are replaced, next to the default
site of Debian. Tests that wait for a timeout also replace
the proxy's timeout by 6 s and wsd's ping interval by 1 s, so that they take seconds instead of minutes.
"""
import asyncio
import os
import random
import socket

from harness import PATIENCE, ROOT, SystemTest, websockets
from raw import PING, PONG, Peer, frame, request

ws = websockets()
SITE = 'www.example.org'  # the name of the site in the files
PAGE = '<title>the site</title>'
DEFAULT_PAGE = '<title>the default site</title>'
SHORT = 6  # seconds of the proxy's timeout: longer than a process waits on a busy machine


def free_port():
    """A port that was free a moment ago, because a proxy does not report the port that it chose. The port is outside
    the range that the kernel assigns, so that the kernel does not assign it to another program in the meantime."""
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
    """The text of the file in docs/ after all replacements. Each replacement must apply."""
    text = (ROOT / 'docs' / name).read_text()
    for old, new in replacements.items():
        assert old in text, f'docs/{name} no longer says {old!r}'
        text = text.replace(old, new)
    return text


def pages(folder):
    """The folders of the site and of the default site, below `folder`."""
    for name, page in (('site', PAGE), ('default', DEFAULT_PAGE)):
        (folder / name).mkdir()
        (folder / name / 'index.html').write_text(page)
    return folder / 'site', folder / 'default'


async def listens(port, process):
    """Waits until the proxy accepts connections."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                _, writer = await asyncio.open_connection('127.0.0.1', port)
                writer.close()
                return
            except ConnectionRefusedError:
                if not process.running:
                    raise AssertionError(f'the proxy ended:\n{process.text()}')
                await asyncio.sleep(0.02)  # the proxy does not report that it listens, so try to connect


class BehindAProxy:
    """start_proxy(daemon, timeout) returns the port of a proxy in front of the daemon."""

    async def client_at(self, port, **options):
        """A connection to the site, as a browser makes it."""
        return await self.connect(f'ws://{SITE}:{port}/ws/', host='127.0.0.1', port=port, **options)

    async def get(self, port, path, host=SITE):
        reader, writer = await asyncio.open_connection('127.0.0.1', port)
        writer.write(f'GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n'.encode())
        answer = await self.within(reader.read())
        writer.close()
        self.assertTrue(answer.startswith(b'HTTP/1.1 200'), answer[:200])
        return answer.decode()

    async def start(self, *flags, hosts=('--own-host', SITE), timeout=60):
        daemon = await self.wsd('--demo', *hosts, *flags)
        return daemon, await self.start_proxy(daemon, timeout)

    async def test_each_path_and_name_has_its_page(self):
        daemon, port = await self.start()
        self.assertIn(PAGE, await self.get(port, '/'))
        self.assertIn('<title>wsd chat</title>', await self.get(port, '/ws/'))
        self.assertIn(DEFAULT_PAGE, await self.get(port, '/', host='another.example.org'))

    async def test_a_browsers_origin_is_accepted(self):
        daemon, port = await self.start()
        origin = f'http://{SITE}:{port}'
        one = await self.client_at(port, subprotocols=['chat'], origin=origin)
        two = await self.client_at(port, subprotocols=['chat'], origin=origin)
        self.assertEqual(one.subprotocol, 'chat')
        await one.send('through the proxy')
        self.assertEqual(await self.within(two.recv()), 'through the proxy')
        await daemon.ctl('broadcast', 'and from the shell')
        for client in (one, two):
            self.assertEqual(await self.within(client.recv()), 'and from the shell')

    async def test_a_foreign_origin_is_still_refused(self):
        daemon, port = await self.start()
        with self.assertRaises(ws.InvalidStatusCode) as refusal:
            await self.client_at(port, origin='https://evil.example')
        self.assertEqual(refusal.exception.status_code, 403)

    async def test_the_sites_name_must_be_in_hosts(self):
        _, port = await self.start(hosts=())

        def script():
            with Peer(('127.0.0.1', port)) as peer:
                peer.send(request(SITE, '/ws/', Origin=f'http://{SITE}'))
                status, fields = peer.head()
                self.assertEqual(status, 403)
                self.assertIn(f'write hosts = ["{SITE}"]'.encode(), peer.body(fields))
        await asyncio.to_thread(script)

    async def test_the_client_has_its_own_address(self):
        """The client has the address of the proxy, but proxies name it without its port."""
        daemon, port = await self.start('--trusted-proxy', '127.0.0.1')
        client = await self.client_at(port, extra_headers={'Forwarded': 'for=192.0.2.7'})
        self.assertEqual([one['peer'] for one in await daemon.ctl_json('list')], ['127.0.0.1'])
        await client.close()

    async def test_pings_and_closes_pass_both_ways(self):
        daemon, port = await self.start()
        client = await self.client_at(port)
        await self.within(await client.ping(b'through'))
        await self.within(client.close(4001, 'enough'))
        self.assertEqual(client.close_code, 4001)
        client = await self.client_at(port)
        await daemon.ctl('close', '--all', '--code', '4002', '--reason', 'go')
        await self.within(client.wait_closed())
        self.assertEqual((client.close_code, client.close_reason), (4002, 'go'))

    async def test_large_messages_pass_both_ways(self):
        daemon, port = await self.start()
        client = await self.client_at(port, max_size=None)
        message = os.urandom(8 << 20)
        await client.send(message)
        self.assertEqual(await self.within(client.recv()), message)

    async def test_pings_keep_an_idle_connection_longer_than_the_proxys_timeout(self):
        daemon, port = await self.start('--ping-interval', '1s', timeout=SHORT)

        def script():
            with Peer(('127.0.0.1', port)) as peer:
                peer.upgrade(path='/ws/', host=SITE)
                for _ in range(10):  # 10 s without a message; the proxy's timeout is 6 s
                    _, opcode, payload = peer.frame()
                    self.assertEqual(opcode, PING)
                    peer.send(frame(PONG, payload))
                peer.echoes()
        await asyncio.to_thread(script)

    async def test_without_pings_the_proxy_closes_an_idle_connection(self):
        """The counterpart of the test above: the timeout works."""
        daemon, port = await self.start('--ping-interval', '0s', timeout=SHORT)

        def script():
            with Peer(('127.0.0.1', port)) as peer:
                peer.upgrade(path='/ws/', host=SITE)
                peer.ended()
        await asyncio.to_thread(script)

    async def test_wsd_restarts_behind_the_proxy(self):
        daemon, port = await self.start()
        client = await self.client_at(port)
        self.assertEqual(await daemon.stop(), 0)
        await self.within(client.wait_closed())
        self.assertEqual(client.close_code, 1001)
        await daemon.again()
        # nginx marks a server as failed for 10 s only if a request failed; none did
        client = await self.client_at(port)
        await client.send('back')
        self.assertEqual(await self.within(client.recv()), 'back')
