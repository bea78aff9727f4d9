"""Peers that break the rules, over real sockets: each gets the right answer, and no other connection is affected."""
import asyncio
import socket
import struct
import threading

from harness import SystemTest, main
from raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Peer, frame, request


class Witness:
    """A second connection next to the hostile one. It must continue to echo."""

    def __init__(self, address):
        self.peer = Peer(address)
        self.peer.upgrade()

    def check(self):
        self.peer.echoes()


class HostilePeers(SystemTest):
    async def asyncSetUp(self):
        self.daemon = await self.wsd('--max-message', '1MiB')
        self.witness = Witness(self.daemon.address)
        self.addCleanup(self.witness.peer.socket.close)

    async def asyncTearDown(self):
        await asyncio.to_thread(self.witness.check)

    def open_peer(self, **options):
        peer = Peer(self.daemon.address, **options)
        self.addCleanup(peer.socket.close)
        peer.upgrade()
        return peer

    def closes_with(self, code, sent):
        """The server answers these bytes with a Close frame of that code and then ends the stream."""
        peer = self.open_peer()
        peer.send(sent)
        self.assertEqual(peer.close_code(), code)
        self.assertEqual(peer.ended(), b'')

    async def test_bad_frames(self):
        cases = {
            'reserved bit 1 (§5.2)': (1002, frame(TEXT, b'x', rsv=4)),
            'reserved bit 2 (§5.2)': (1002, frame(TEXT, b'x', rsv=2)),
            'reserved bit 3 (§5.2)': (1002, frame(TEXT, b'x', rsv=1)),
            'unmasked (§5.1)': (1002, frame(TEXT, b'x', masked=False)),
            'continuation of nothing (§5.4)': (1002, frame(CONTINUATION, b'x')),
            'new message inside another (§5.4)': (1002, frame(TEXT, b'a', fin=False) + frame(TEXT, b'b')),
            'fragmented ping (§5.5)': (1002, frame(PING, b'x', fin=False)),
            'ping of 126 bytes (§5.5)': (1002, frame(PING, b'x' * 126)),
            '16-bit length for 125 bytes (§5.2)': (1002, b'\x82\xfe\x00\x7d' + bytes(4) + bytes(125)),
            '64-bit length for 65535 bytes (§5.2)': (1002, frame(BINARY, announce=65535)),
            '64-bit length with its top bit set (§5.2)': (1002, frame(BINARY, announce=1 << 63)),
            'close payload of one byte (§5.5.1)': (1002, frame(CLOSE, b'\x03')),
            'close code 1005 on the wire (§7.4.1)': (1002, frame(CLOSE, struct.pack('!H', 1005))),
            'close code 999 (§7.4.2)': (1002, frame(CLOSE, struct.pack('!H', 999))),
            'close reason that is not UTF-8 (§5.5.1)': (1007, frame(CLOSE, struct.pack('!H', 1000) + b'\xff')),
            'text that is not UTF-8 (§8.1)': (1007, frame(TEXT, b'\xce\xba\xe1\xbd\xb9\xcf\x83\xed\xa0\x80')),
            'text cut inside a character (§8.1)': (1007, frame(TEXT, b'\xe2\x82')),
            'text cut, then an empty last fragment': (1007, frame(TEXT, b'\xe2\x82', fin=False) + frame(CONTINUATION)),
            'announcing 2^62 bytes': (1009, frame(BINARY, announce=1 << 62)),
            'over the limit in fragments': (1009, frame(BINARY, bytes(1 << 20), fin=False) + frame(CONTINUATION, b'x')),
        }
        for opcode in [0x3, 0x4, 0x5, 0x6, 0x7, 0xB, 0xC, 0xD, 0xE, 0xF]:
            cases[f'reserved opcode {opcode:X} (§5.2)'] = (1002, frame(opcode))
        for name, (code, sent) in cases.items():
            with self.subTest(name):
                await asyncio.to_thread(self.closes_with, code, sent)

    async def test_good_frames_before_a_bad_one_are_answered_first(self):
        def script():
            peer = self.open_peer()
            peer.send(frame(TEXT, b'first') + frame(PING, b'second') + frame(TEXT, b'bad', rsv=4) + frame(PING, b'never'))
            # a control frame may overtake data (§5.5.2 wants pongs soon), so the order is not fixed
            answers = {peer.frame()[1:], peer.frame()[1:]}
            self.assertEqual(answers, {(TEXT, b'first'), (PONG, b'second')})
            self.assertEqual(peer.close_code(), 1002)
            self.assertEqual(peer.ended(), b'')
        await asyncio.to_thread(script)

    async def test_invalid_utf8_fails_before_the_frame_is_complete(self):
        def script():
            peer = self.open_peer()
            peer.send(frame(TEXT, b'\xf4\x90' + b'x' * 1000)[:10])  # header, key and two bytes of payload
            self.assertEqual(peer.close_code(), 1007)
        await asyncio.to_thread(script)

    async def test_bytes_that_arrive_one_at_a_time(self):
        def script():
            peer = Peer(self.daemon.address)
            with peer:
                peer.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for byte in request() + frame(TEXT, b'one ', fin=False) + frame(PING, b'p') + frame(CONTINUATION, b'two'):
                    peer.send(bytes([byte]))
                self.assertEqual(peer.head()[0], 101)
                self.assertEqual(peer.frame(), (True, PONG, b'p'))
                self.assertEqual(peer.frame(), (True, TEXT, b'one two'))
        await asyncio.to_thread(script)

    async def test_frames_in_the_packet_of_the_request_are_not_lost(self):
        def script():
            with Peer(self.daemon.address) as peer:
                peer.send(request() + frame(TEXT, b'early') + frame(TEXT, b'bird'))
                self.assertEqual(peer.head()[0], 101)
                self.assertEqual(peer.message(), (TEXT, b'early'))
                self.assertEqual(peer.message(), (TEXT, b'bird'))
        await asyncio.to_thread(script)

    async def test_the_closing_handshake(self):
        def script():
            peer = self.open_peer()
            peer.send(frame(CLOSE) + frame(TEXT, b'after the close') + frame(PING, b'neither'))
            self.assertEqual(peer.frame(), (True, CLOSE, b''))  # the answer to an empty Close is empty
            self.assertEqual(peer.ended(), b'')
            peer = self.open_peer()
            peer.send(frame(CLOSE, struct.pack('!H', 4000) + b'why'))
            self.assertEqual(peer.close_code(), 4000)
            self.assertEqual(peer.ended(), b'')
        await asyncio.to_thread(script)

    async def test_a_peer_that_shuts_down_its_direction_still_gets_replies(self):
        def script():
            peer = self.open_peer()
            peer.send(frame(TEXT, b'last words'))
            peer.socket.shutdown(socket.SHUT_WR)
            self.assertEqual(peer.message(), (TEXT, b'last words'))
            peer.ended()
        await asyncio.to_thread(script)

    async def test_bad_requests(self):
        upgrade = request()
        cases = {
            'garbage': (400, b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello TLS\r\n\r\n'),
            'POST': (405, upgrade.replace(b'GET', b'POST', 1)),
            'HTTP/1.0': (505, upgrade.replace(b'HTTP/1.1', b'HTTP/1.0', 1)),
            'no Host': (400, request(host=None)),
            'no Connection': (400, request(Connection='keep-alive')),
            'no key': (400, request(Sec_WebSocket_Key=None)),
            'key of 15 bytes': (400, request(Sec_WebSocket_Key='AAAAAAAAAAAAAAAAAAAA')),
            'version 8': (426, request(Sec_WebSocket_Version='8')),
            'foreign origin': (403, request(Origin='https://evil.example')),
            'with a payload': (400, request(Content_Length='5') + b'hello'),
            'header of 20 KiB': (431, request(X_Filler='x' * 20480)),
            '150 fields': (431, request(X_Filler=['x'] * 150)),
        }
        for name, (status, sent) in cases.items():
            with self.subTest(name):
                def script():
                    with Peer(self.daemon.address) as peer:
                        peer.send(sent)
                        answered, fields = peer.head()
                        self.assertEqual(answered, status)
                        self.assertTrue(peer.body(fields), 'a refusal has a short text')
                        self.assertIn('close', fields['connection'])
                        if status == 426:
                            self.assertEqual(fields['sec-websocket-version'], '13')
                        if status == 405:
                            self.assertEqual(fields['allow'], 'get, head')
                        self.assertEqual(peer.ended(), b'')
                await asyncio.to_thread(script)

    async def test_upgrade_fields_are_case_insensitive_lists(self):
        def script():
            with Peer(self.daemon.address) as peer:
                peer.upgrade(Connection='keep-alive, UPGRADE', Upgrade='h2c, WebSocket')
                peer.echoes()
        await asyncio.to_thread(script)


class Time(SystemTest):
    """Time limits. They are set to be short, and the tests wait for the end itself."""

    async def test_a_slow_request_gets_408(self):
        config = self.folder() / 'wsd.toml'
        config.touch()
        daemon = await self.wsd('--config', config)
        witness = Witness(daemon.address)  # opened before the limit is short, so that it is not too slow itself
        self.addCleanup(witness.peer.socket.close)
        config.write_text('[limits]\nhandshake_timeout = "500ms"\n')
        await daemon.ctl('reload')

        def drip(peer, stop):
            try:
                for byte in request(X_Filler='x' * 10000):
                    peer.send(bytes([byte]))
                    if stop.wait(0.05):  # the drip: one byte at a time until the server ends it
                        return
            except OSError:
                pass

        def script():
            silent, dripping, stop = Peer(daemon.address), Peer(daemon.address), threading.Event()
            dripper = threading.Thread(target=drip, args=(dripping, stop))
            dripper.start()
            try:
                for peer in (silent, dripping):
                    self.assertEqual(peer.head()[0], 408)
            finally:
                stop.set()
                dripper.join()
                silent.socket.close()
                dripping.socket.close()
            witness.check()
        await asyncio.to_thread(script)

    async def test_a_peer_that_answers_no_ping_is_closed(self):
        # On a busy machine an answer may take seconds, so the timeout is longer.
        daemon = await self.wsd('--ping-interval', '200ms', '--pong-timeout', '6s')
        cut = threading.Event()

        def never_answers():
            with Peer(daemon.address) as mute:
                try:
                    mute.upgrade()
                    self.assertEqual(mute.frame()[1], PING)
                    mute.ended()
                finally:
                    cut.set()

        def answers():
            with Peer(daemon.address) as polite:
                polite.upgrade()
                while not cut.is_set():
                    fin, opcode, payload = polite.frame()
                    self.assertEqual(opcode, PING)
                    polite.send(frame(PONG, payload))
                polite.echoes()
        await asyncio.gather(asyncio.to_thread(never_answers), asyncio.to_thread(answers))
        await daemon.line('1006', 'stderr')

    async def test_a_peer_that_never_answers_the_close_is_cut(self):
        daemon = await self.wsd('--close-timeout', '300ms')

        def script():
            with Peer(daemon.address) as peer:
                peer.upgrade()
                peer.send(frame(TEXT, b'x', rsv=4))
                self.assertEqual(peer.close_code(), 1002)
                self.assertEqual(peer.ended(), b'')
        await asyncio.to_thread(script)

    async def test_a_peer_that_never_reads_costs_bounded_memory(self):
        daemon = await self.wsd('--handler', 'chat=broadcast', '--ping-interval', '1h')
        witness = Witness(daemon.address)
        self.addCleanup(witness.peer.socket.close)

        def memory():
            with open(f'/proc/{daemon.pid}/status') as status:
                return next(int(line.split()[1]) for line in status if line.startswith('VmRSS'))  # KiB

        def script():
            before = memory()
            with Peer(daemon.address, receive_buffer=4096) as deaf:
                deaf.upgrade()
                deaf.socket.setblocking(False)
                message = frame(BINARY, bytes(65536))
                sent, full = 0, 0
                while sent < 256 << 20 and full < 50:  # until the server has stopped reading, 50 times in a row
                    try:
                        sent += deaf.socket.send(message[sent % len(message):])
                        full = 0
                    except BlockingIOError:
                        full += 1
                        witness.check()  # takes some time, and shows that others are served
                self.assertLess(sent, 128 << 20, 'the server went on reading what it could not send')
                self.assertLess(memory() - before, 48 << 10)
            witness.check()
        await asyncio.to_thread(script)

    async def flood(self, policy):
        """A chat in which one peer sends and one never reads, until the policy has been applied."""
        daemon = await self.wsd('--handler', 'chat=broadcast', '--send-high-mark', '64KiB', '--slow-consumer', policy)
        deaf, loud = Peer(daemon.address, receive_buffer=4096), Peer(daemon.address)
        for peer in (deaf, loud):
            self.addCleanup(peer.socket.close)
            peer.upgrade(Sec_WebSocket_Protocol='chat')
        counter = 'slow_consumers' if policy == 'close' else 'messages_dropped'
        message = frame(BINARY, bytes(100_000))
        for _ in range(1000):
            await asyncio.to_thread(loud.send, message * 10)
            status, = await daemon.ctl_json('status')
            if status['counters'][counter]:
                return daemon, deaf, loud
        self.fail('100 MB went nowhere')

    async def test_a_slow_consumer_is_closed_with_1013(self):
        daemon, deaf, loud = await self.flood('close')

        def script():
            opcode = BINARY
            while opcode == BINARY:  # messages sent before arrive first, then the Close frame
                opcode, payload = deaf.message()
            self.assertEqual((opcode, payload[:2]), (CLOSE, struct.pack('!H', 1013)))
            loud.send(frame(PING, b'alive'))
            self.assertEqual(loud.frame(), (True, PONG, b'alive'))
        await asyncio.to_thread(script)

    async def test_messages_to_a_slow_consumer_are_dropped_and_counted(self):
        for policy in ('drop_oldest', 'drop_newest', 'keep_latest'):
            with self.subTest(policy):
                daemon, deaf, loud = await self.flood(policy)

                def script():
                    deaf.send(frame(PING, b'alive'))
                    pong = False
                    while not pong:  # complete messages, even if others were dropped between them
                        fin, opcode, payload = deaf.frame()
                        pong = (opcode, payload) == (PONG, b'alive')
                await asyncio.to_thread(script)

    async def test_a_connection_over_the_limit_gets_503_with_retry_after(self):
        daemon = await self.wsd('--max-connections', '2')

        def script():
            first, second = Peer(daemon.address), Peer(daemon.address)
            for peer in (first, second):
                self.addCleanup(peer.socket.close)
                peer.upgrade()
            with Peer(daemon.address) as third:
                third.send(request())
                status, fields = third.head()
                self.assertEqual(status, 503)
                self.assertIn('retry-after', fields)
            first.send(frame(CLOSE))
            first.ended()
            status = 503
            while status == 503:  # the server counts the closed connection a moment longer
                with Peer(daemon.address) as again:
                    again.send(request())
                    status, _ = again.head()
            self.assertEqual(status, 101)
            second.echoes()
        await asyncio.to_thread(script)


if __name__ == '__main__':
    main()
