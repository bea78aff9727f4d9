"""A client of FastCGI that requests one page, as a web server does."""
import asyncio
import collections
import struct

BEGIN_REQUEST, END_REQUEST, PARAMS, STDIN, STDOUT, STDERR = 1, 3, 4, 5, 6, 7
RESPONDER = 1
HEADER = struct.Struct('>BBHHBx')  # version, type, request id, length of the content, length of the padding

Answer = collections.namedtuple('Answer', 'output errors')


def record(kind, content=b''):
    return HEADER.pack(1, kind, 1, len(content), 0) + content


def pair(name, value):
    """A name and a value, each of at most 127 bytes or of a length in four bytes."""
    def length(text):
        return bytes([len(text)]) if len(text) < 128 else struct.pack('>I', len(text) | 1 << 31)
    return length(name) + length(value) + name + value


async def request(socket, page):
    """What the script `page` printed, with the fields of its response, and what it wrote to its log."""
    reader, writer = await asyncio.open_unix_connection(str(socket))
    parameters = {b'SCRIPT_FILENAME': str(page).encode(), b'REQUEST_METHOD': b'GET', b'SCRIPT_NAME': b'/send.php'}
    writer.write(record(BEGIN_REQUEST, struct.pack('>HB5x', RESPONDER, 0)))
    writer.write(record(PARAMS, b''.join(pair(*each) for each in parameters.items())) + record(PARAMS) + record(STDIN))
    parts = {STDOUT: b'', STDERR: b''}
    kind = None
    while kind != END_REQUEST:
        _, kind, _, length, padding = HEADER.unpack(await reader.readexactly(HEADER.size))
        content = (await reader.readexactly(length + padding))[:length]
        if kind in parts:
            parts[kind] += content
    writer.close()
    return Answer(parts[STDOUT].decode(), parts[STDERR].decode())
