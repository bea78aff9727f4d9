"""Clients that hold back the ends of their messages, or do not read their echoes, and the limit of wsd's memory."""
import asyncio
import socket
import threading

from harness import PATIENCE, SystemTest, main, websockets

ws = websockets()
MIB = 1 << 20
LIMIT = 64 * MIB
TOLERANCE = 16 * MIB  # what the reactors receive until they have looked at the memory
REQUEST = (b'GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
           b'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n')
MESSAGE = bytes(16 * MIB - 1)


def frame_header(length):
    """The header of a binary message with a masking key of zeros."""
    return b'\x82\xff' + length.to_bytes(8, 'big') + bytes(4)


class Peer:
    """Sends on a thread of its own, as much as wsd takes, and never reads more than the opening handshake."""

    def __init__(self, address, data):
        self.socket = socket.create_connection(address)
        self.socket.settimeout(PATIENCE)
        self.socket.sendall(REQUEST)
        head = b''
        while not head.endswith(b'\r\n\r\n'):
            head += self.socket.recv(1)
        self.status = int(head.split()[1])
        self.socket.settimeout(None)
        self.thread = threading.Thread(target=self.send, args=(data,), daemon=True)
        self.thread.start()

    def send(self, data):
        try:
            for piece in data:
                self.socket.sendall(piece)
        except OSError:
            pass  # wsd has closed it, or the test has

    def close(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)  # ends a sendall() of the thread
        except OSError:
            pass
        self.thread.join()
        self.socket.close()


class MemoryLimit(SystemTest):
    async def asyncSetUp(self):
        self.peers = []
        await self.start()

    async def start(self, *flags):
        self.daemon = await self.wsd('--memory', f'{LIMIT}B', '--io-threads', '2', *flags)
        self.good = await self.connect(self.daemon.url)

    async def asyncTearDown(self):
        for peer in self.peers:
            await asyncio.to_thread(peer.close)

    async def status(self):
        status, = await self.daemon.ctl_json('status')
        return status

    async def add_peers(self, count, data):
        for _ in range(count):
            peer = await asyncio.to_thread(Peer, self.daemon.address, data)
            if peer.status == 101:
                self.peers.append(peer)

    async def watch(self, is_reached):
        """Looks at the status until `is_reached`. The memory is never over the limit, and short messages are echoed."""
        async with asyncio.timeout(PATIENCE):
            while True:
                await self.good.send('still there?')
                self.assertEqual(await self.good.recv(), 'still there?')
                status = await self.status()
                self.assertLessEqual(status['memory'], LIMIT + TOLERANCE)
                if is_reached(status):
                    return status

    async def test_halves_of_messages_stay_within_the_limit(self):
        await self.add_peers(60, [frame_header(16 * MIB), MESSAGE])
        status = await self.watch(lambda status: status['counters']['memory_pauses'] > 0 and
                                  status['memory'] >= LIMIT // 2)
        self.assertEqual(status['memory_limit'], LIMIT)
        self.assertRegex(await self.daemon.ctl('status'), r'memory +\d.* of 64 MiB')

    async def test_echoes_that_are_not_read_stay_within_the_limit(self):
        echo = frame_header(4 * MIB) + bytes(4 * MIB)
        await self.add_peers(20, [echo] * 8)
        await self.watch(lambda status: status['counters']['memory_pauses'] +
                         status['counters']['closed_for_memory'] > 0)

    async def test_the_memory_is_free_when_the_messages_have_had_their_time(self):
        await self.start('--message-timeout', '2s')
        await self.add_peers(10, [frame_header(16 * MIB), MESSAGE])
        await self.watch(lambda status: status['memory'] == 0 and
                         status['counters']['message_timeouts'] + status['counters']['closed_for_memory'] == 10)

    async def test_plain_requests_are_answered(self):
        await self.add_peers(20, [frame_header(16 * MIB), MESSAGE])
        await self.watch(lambda status: status['counters']['memory_pauses'] > 0)
        reader, writer = await asyncio.open_connection(*self.daemon.address)
        writer.write(b'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n')
        self.assertIn(b' 200 ', await self.within(reader.readline()))
        writer.close()

    async def test_a_reload_changes_the_limit(self):
        daemon = await self.wsd()
        (daemon.folder / 'empty.toml').write_text('[limits]\nmemory = "1MiB"\n')
        await daemon.ctl('reload')
        status, = await daemon.ctl_json('status')
        self.assertEqual(status['memory_limit'], MIB)

    async def test_a_message_without_an_end_is_closed_with_1008(self):
        daemon = await self.wsd('--message-timeout', '200ms')
        reader, writer = await asyncio.open_connection(*daemon.address)
        writer.write(REQUEST)
        await self.within(reader.readuntil(b'\r\n\r\n'))
        writer.write(frame_header(MIB) + b'half')
        header = await self.within(reader.readexactly(4))
        self.assertEqual(int.from_bytes(header[2:], 'big'), 1008)
        writer.close()


if __name__ == '__main__':
    main()
