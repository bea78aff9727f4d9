"""Clients that send or connect too fast, and what the others notice of it."""
import asyncio
import time

from harness import SystemTest, main, websockets
from raw import BINARY, TEXT, Peer, frame, request

ws = websockets()
MIB = 1 << 20


class RateLimits(SystemTest):
    async def status(self, daemon):
        status, = await daemon.ctl_json('status')
        return status

    async def test_a_client_that_sends_too_much_waits_and_loses_nothing(self):
        daemon = await self.wsd()
        (daemon.folder / 'empty.toml').write_text('[limits]\nmessages_per_second = 40\n')
        await daemon.ctl('reload')

        def script():
            with Peer(daemon.address) as peer:
                peer.upgrade()
                peer.send(b''.join(frame(TEXT, b'%d' % number) for number in range(60)))
                for number in range(60):
                    self.assertEqual(peer.message(), (TEXT, b'%d' % number))
        await asyncio.to_thread(script)
        status = await self.status(daemon)
        self.assertGreater(status['counters']['rate_pauses'], 0)
        self.assertIn('rate pauses', await daemon.ctl('status'))

    async def test_clients_over_the_rate_get_a_503_and_are_logged(self):
        daemon = await self.wsd('--connections-per-second', '1')

        def script():
            while True:  # until two connect within a second
                with Peer(daemon.address) as peer:
                    peer.send(request())
                    status, fields = peer.head()
                    if status == 503:
                        return fields
                    self.assertEqual(status, 101)
        self.assertIn('retry-after', await self.within(asyncio.to_thread(script)))
        await daemon.line('opening handshake refused .*too many new connections a second')
        status = await self.status(daemon)
        self.assertGreater(status['counters']['over_connection_rate'], 0)
        self.assertGreater(status['refusals']['503'], 0)

    async def test_clients_over_the_limit_of_an_address_get_a_429_and_are_summed_up(self):
        daemon = await self.wsd()
        first = await self.connect(daemon.url)
        (daemon.folder / 'empty.toml').write_text('[per_address]\nconnections = 1\n')
        await daemon.ctl('reload')

        def refused():
            with Peer(daemon.address) as peer:
                peer.send(request())
                return peer.head()
        for _ in range(3):
            status, fields = await self.within(asyncio.to_thread(refused))
            self.assertEqual(status, 429)
            self.assertIn('retry-after', fields)
        await daemon.line('opening handshake refused .*too many connections from this address')
        status = await self.status(daemon)
        self.assertEqual(status['counters']['over_address_connections'], 3)
        self.assertEqual(status['refusals']['429'], 3)
        await daemon.line('more opening handshakes refused .*count=2 .*too many connections from this address')
        await first.send('x')
        self.assertEqual(await self.within(first.recv()), 'x')

    async def test_all_clients_of_an_address_share_its_rates(self):
        daemon = await self.wsd('--io-threads', '2', '--per-address-messages-per-second', '40')

        def script():
            with Peer(daemon.address) as one, Peer(daemon.address) as other:
                for peer in (one, other):
                    peer.upgrade()
                    peer.send(b''.join(frame(TEXT, b'%d' % number) for number in range(60)))
                for peer in (one, other):
                    for number in range(60):
                        self.assertEqual(peer.message(), (TEXT, b'%d' % number))
        begin = time.monotonic()
        await self.within(asyncio.to_thread(script))
        self.assertGreater(time.monotonic() - begin, 1.9)  # 120 messages: 40 at once, and the rest in two seconds
        status = await self.status(daemon)
        self.assertGreater(status['counters']['address_pauses'], 0)

    async def test_a_sender_closes_none_of_the_receivers_of_its_broadcasts(self):
        daemon = await self.wsd('--handler', 'chat=broadcast')
        receivers = [await self.connect(daemon.url, subprotocols=['chat'], max_size=None) for _ in range(4)]
        count, size = 8, 4 * MIB

        def script():
            with Peer(daemon.address) as loud:
                loud.upgrade(Sec_WebSocket_Protocol='chat')
                message = frame(BINARY, bytes(size))
                for _ in range(count):
                    loud.send(message)
                loud.message()  # until the test ends

        async def receive(client):
            for _ in range(count):
                self.assertEqual(len(await self.within(client.recv())), size)
        sender = asyncio.ensure_future(asyncio.to_thread(script))
        await asyncio.gather(*(receive(client) for client in receivers))
        status = await self.status(daemon)
        self.assertEqual(status['counters']['slow_consumers'], 0)
        self.assertGreater(status['counters']['publish_pauses'], 0)
        await receivers[0].send(b'the end')
        await sender


if __name__ == '__main__':
    main()
