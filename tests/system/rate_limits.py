"""Clients that send or connect too fast, and what the others notice of it."""
import asyncio

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
