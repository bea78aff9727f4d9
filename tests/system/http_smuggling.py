"""Requests that a proxy and a server could understand in different ways, over real sockets: each is refused, and nothing
of what follows on the stream is served."""
import re
import socket
import subprocess
import unittest

from harness import PATIENCE, program

HIDDEN = b'GET /hello HTTP/1.1\r\nHost: h\r\n\r\n'  # its answer would be `hello`
CHUNKS = b'0\r\n\r\n'
CASES = {
    'both lengths': ('400', b'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n', CHUNKS),
    'both lengths, the other way round': ('400', b'Transfer-Encoding: chunked\r\nContent-Length: 5\r\n', CHUNKS),
    'two lengths': ('400', b'Content-Length: 0\r\nContent-Length: 32\r\n', b''),
    'a list of lengths': ('400', b'Content-Length: 0, 0\r\n', b''),
    'a blank before the colon': ('400', b'Content-Length : 0\r\n', b''),
    'a bare CR in a field': ('400', b'A: b\rContent-Length: 32\r\n', b''),
    'a bare LF after a field': ('400', b'A: b\nContent-Length: 32\r\n', b''),
    'a folded line': ('400', b'A: b\r\n Content-Length: 32\r\n', b''),
    'an unknown coding': ('400', b'Transfer-Encoding: xchunked\r\n', CHUNKS),
    'a coding after chunked': ('400', b'Transfer-Encoding: chunked, identity\r\n', CHUNKS),
    'a bare LF after a chunk size': ('400', b'Transfer-Encoding: chunked\r\n', b'5\nhello\r\n0\r\n\r\n'),
    'a bare CR in a chunk extension': ('400', b'Transfer-Encoding: chunked\r\n', b'5;a\rb\r\nhello\r\n0\r\n\r\n'),
    'a chunk that is too long': ('400', b'Transfer-Encoding: chunked\r\n', b'1\r\nxy\r\n0\r\n\r\n'),
    'a chunk size that overflows': ('400', b'Transfer-Encoding: chunked\r\n', b'10000000000000005\r\nhello\r\n'),
    'long chunk extensions': ('400', b'Transfer-Encoding: chunked\r\n', b'1;' + b'a' * 100_000 + b'\r\nx\r\n0\r\n\r\n'),
    'a long trailer': ('400', b'Transfer-Encoding: chunked\r\n', b'0\r\nA: ' + b'a' * 100_000 + b'\r\n\r\n'),
}


class Smuggling(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = subprocess.Popen([program('HTTP_SERVER')], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        host, port = re.search(r'//(.+):(\d+)', cls.server.stdout.readline()).groups()
        cls.address = host, int(port)

    @classmethod
    def tearDownClass(cls):
        cls.server.stdin.close()
        code = cls.server.wait(PATIENCE)
        cls.server.stdout.close()
        assert code == 0, f'the server ended with {code}'

    def answers(self, *parts):
        """The status of each answer, and whether the hidden request was served."""
        with socket.create_connection(self.address, PATIENCE) as peer:
            for part in parts:
                try:
                    peer.sendall(part)
                except (BrokenPipeError, ConnectionResetError):  # refused before all was sent
                    break
            peer.shutdown(socket.SHUT_WR)
            received = b''
            try:
                while piece := peer.recv(65536):
                    received += piece
            except ConnectionResetError:
                pass
        return [status.decode() for status in re.findall(rb'HTTP/1\.1 (\d+) ', received)], b'\r\n\r\nhello\n' in received

    def test_refused(self):
        for name, (status, fields, body) in CASES.items():
            request = b'POST /echo HTTP/1.1\r\nHost: h\r\n' + fields + b'\r\n' + body
            for parts in (request + HIDDEN,), (HIDDEN + request + HIDDEN,), (request[:40], request[40:], HIDDEN):
                with self.subTest(case=name, parts=len(parts), begins=parts[0][:4]):
                    served = parts[0].startswith(HIDDEN)
                    self.assertEqual(self.answers(*parts), (['200', status] if served else [status], served))

    def test_what_is_allowed_is_served(self):
        body = b'5;a=b\r\nhello\r\n0\r\nTrailer: t\r\n\r\n'
        request = b'POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n' + body
        self.assertEqual(self.answers(request + HIDDEN), (['200', '200'], True))


if __name__ == '__main__':
    unittest.main()
