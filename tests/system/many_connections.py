"""5,000 connections on one wsd: a broadcast reaches all of them, and all of them get a Close frame when it stops."""
import asyncio

from harness import SystemTest, main, raise_descriptor_limit, skip
from raw import CLOSE, PING, PONG, TEXT, frame, request

CONNECTIONS = 5000
# One descriptor per connection in each of two processes, and some more. wsd keeps 10 % of its descriptors free.
if not raise_descriptor_limit(CONNECTIONS + 1000):
    skip(f'needs {CONNECTIONS + 1000} descriptors: raise the hard limit (ulimit -Hn)')


class Client:
    """A minimal client: asyncio's streams and short unmasked frames."""

    async def open(self, address, at_once):
        async with at_once:
            self.reader, self.writer = await asyncio.open_connection(*address, limit=4096)
            self.writer.write(request(Sec_WebSocket_Protocol='chat'))
            head = await self.reader.readuntil(b'\r\n\r\n')
            assert head.startswith(b'HTTP/1.1 101'), head
        return self

    async def frame(self):
        """The next frame other than a ping. Answers pings."""
        while True:
            first, length = await self.reader.readexactly(2)
            assert length < 126
            opcode, payload = first & 0x0F, await self.reader.readexactly(length)
            if opcode != PING:
                return opcode, payload
            self.writer.write(frame(PONG, payload))


class ManyConnections(SystemTest):
    async def test_a_broadcast_reaches_all(self):
        daemon = await self.wsd('--handler', 'chat=broadcast', '--log-level', 'warning',
                                # all clients connect at once from one slow process, which answers pings only later
                                '--handshake-timeout', '5m', '--ping-interval', '1h')
        at_once = asyncio.Semaphore(200)  # a listener's backlog is finite
        clients = await self.within(asyncio.gather(
            *(Client().open(daemon.address, at_once) for _ in range(CONNECTIONS))))
        status, = await daemon.ctl_json('status')
        self.assertEqual(status['connections'], CONNECTIONS)
        self.assertEqual(len(await daemon.ctl_json('list')), CONNECTIONS)

        printed = await daemon.ctl('broadcast', '--subprotocol', 'chat', 'to each of you')
        self.assertIn(str(CONNECTIONS), printed)
        for opcode, payload in await self.within(asyncio.gather(*(client.frame() for client in clients))):
            self.assertEqual((opcode, payload), (TEXT, b'to each of you'))

        for client in clients[:CONNECTIONS // 2]:  # half of them disappear without a Close frame
            client.writer.transport.abort()
        remaining = clients[CONNECTIONS // 2:]
        stopping = asyncio.ensure_future(daemon.stop())
        for opcode, payload in await self.within(asyncio.gather(*(client.frame() for client in remaining))):
            self.assertEqual((opcode, payload[:2]), (CLOSE, b'\x03\xe9'))  # 1001
        for client in remaining:
            client.writer.close()
        self.assertEqual(await stopping, 0)


if __name__ == '__main__':
    main()
