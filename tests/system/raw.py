"""A WebSocket peer on a plain socket. It sends exactly the bytes that a test wants, including invalid ones."""
import base64
import os
import socket
import struct
import time

from harness import PATIENCE

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA


def frame(opcode, payload=b'', fin=True, rsv=0, masked=True, announce=None):
    """One frame. `announce` is a 64-bit length to write instead of the true one."""
    key = b'\x37\xfa\x21\x3d'
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    mask_bit = 0x80 if masked else 0
    length = len(payload)
    if announce is not None:
        head += struct.pack('!BQ', mask_bit | 127, announce)
    elif length < 126:
        head += bytes([mask_bit | length])
    elif length < 65536:
        head += struct.pack('!BH', mask_bit | 126, length)
    else:
        head += struct.pack('!BQ', mask_bit | 127, length)
    if not masked:
        return head + payload
    return head + key + bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))


def request(host='localhost', path='/', **fields):
    """The request of an opening handshake. In names of fields write _ for -. None omits a field; a list repeats it."""
    all_fields = {'Host': host, 'Upgrade': 'websocket', 'Connection': 'Upgrade', 'Sec_WebSocket_Version': '13',
                  'Sec_WebSocket_Key': base64.b64encode(os.urandom(16)).decode()} | fields
    lines = [f'GET {path} HTTP/1.1']
    for name, value in all_fields.items():
        for one in value if isinstance(value, list) else [value]:
            if one is not None:
                lines.append(f'{name.replace("_", "-")}: {one}')
    return ('\r\n'.join(lines) + '\r\n\r\n').encode()


class Ended(Exception):
    """The peer closed TCP (or reset it)."""


class Peer:
    """One connection. Every wait fails after PATIENCE seconds."""

    def __init__(self, address, receive_buffer=None):
        family = socket.AF_UNIX if isinstance(address, str) else (
            socket.AF_INET6 if ':' in address[0] else socket.AF_INET)
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(address)
        self.buffer = b''

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def _more(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError as error:
            raise Ended('reset') from error
        if not data:
            raise Ended('end')
        self.buffer += data

    def take(self, count):
        while len(self.buffer) < count:
            self._more()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def head(self):
        """(status, fields in lower case) of an HTTP response. Its body is not read yet."""
        while b'\r\n\r\n' not in self.buffer:
            self._more()
        head, self.buffer = self.buffer.split(b'\r\n\r\n', 1)
        status, *lines = head.decode('latin-1').split('\r\n')
        fields = dict(line.lower().split(': ', 1) for line in lines)
        return int(status.split(' ')[1]), fields

    def body(self, fields):
        return self.take(int(fields.get('content-length', 0)))

    def upgrade(self, **fields):
        self.send(request(**fields))
        status, answer = self.head()
        assert status == 101, (status, self.buffer[:200])
        return answer

    def frame(self):
        """(fin, opcode, payload) of the next frame."""
        first, second = self.take(2)
        assert not second & 0x80, 'a server must not mask (RFC 6455 §5.1)'
        assert not first & 0x70, 'no extension was agreed on'
        length = second & 0x7F
        if length == 126:
            length, = struct.unpack('!H', self.take(2))
        elif length == 127:
            length, = struct.unpack('!Q', self.take(8))
        return bool(first & 0x80), first & 0x0F, self.take(length)

    def message(self):
        """(opcode, payload) of the next message. Answers pings that arrive before it."""
        opcode, whole = None, b''
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            fin, frame_opcode, payload = self.frame()
            if frame_opcode == PING:
                self.send(frame(PONG, payload))
            elif frame_opcode >= CLOSE:
                return frame_opcode, payload
            else:
                opcode = frame_opcode if opcode is None else opcode
                whole += payload
                if fin:
                    return opcode, whole
        raise TimeoutError('only pings arrived')

    def close_code(self):
        """The code of the Close frame, which must be next."""
        opcode, payload = self.message()
        assert opcode == CLOSE, (opcode, payload[:80])
        return struct.unpack('!H', payload[:2])[0] if payload else None

    def ended(self):
        """Reads to the end of the stream. Returns the bytes before it."""
        try:
            while True:
                self._more()
        except Ended:
            rest, self.buffer = self.buffer, b''
            return rest

    def echoes(self, text=b'still there?'):
        self.send(frame(TEXT, text))
        assert self.message() == (TEXT, text)
