"""`wsd-ctl connect` against servers of other projects: Python's websockets and Node's ws."""
import asyncio
import http
import json
import os
import shutil

from harness import HERE, PATIENCE, SystemTest, die_with_parent, main, program, websockets

ws = websockets()


CLOSED_STDIN = ['sh', '-c', 'exec "$@" <&-', 'sh']


class Ended:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __repr__(self):
        return f'exit code {self.code}\nstdout: {self.out!r}\nstderr: {self.err}'


class ClientTest(SystemTest):
    async def run_client(self, path, *words, stdin=b'', wrapper=()):
        child = await asyncio.create_subprocess_exec(
            *wrapper, program('WSD_CTL'), 'connect', self.url + path, *words, stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, preexec_fn=die_with_parent)
        async with asyncio.timeout(PATIENCE):
            out, err = await child.communicate(stdin)
        return Ended(child.returncode, out, err.decode())


class OurClient:
    """The same tests for both servers. A subclass sets the server's url."""

    async def test_lines_are_sent_and_messages_printed(self):
        ended = await self.run_client('/echo', '--count', '3', '--wait', '30', stdin='one\nzwölf\n\n'.encode())
        self.assertEqual(ended.code, 0, ended)
        self.assertEqual(ended.out.decode().split('\n'), ['one', 'zwölf', '', ''], ended)

    async def test_a_closed_stdin_is_like_an_empty_one(self):
        ended = await self.run_client('/echo', '--wait', '0', wrapper=CLOSED_STDIN)
        self.assertEqual((ended.code, ended.out), (0, b''), ended)

    async def test_texts_of_the_command_line_replace_stdin(self):
        ended = await self.run_client('/echo', '--text', 'one', '--text', '/two', '--count', '2', '--wait', '30', stdin=b'no\n')
        self.assertEqual((ended.code, ended.out), (0, b'one\n/two\n'), ended)

    async def test_binary_messages(self):
        ended = await self.run_client('/echo', '--binary', '--count', '1', '--wait', '30', stdin=b'\xff\x01\n')
        self.assertEqual(ended.out.rstrip(b'\n'), b'\xff\x01', ended)

    async def test_two_slashes_send_one_if_slashes_are_commands(self):
        for words, received in ((['--slash'], b'/me waves\n'), ([], b'//me waves\n')):
            ended = await self.run_client('/echo', *words, '--count', '1', '--wait', '30', stdin=b'//me waves\n')
            self.assertEqual((ended.code, ended.out), (0, received), ended)

    async def test_a_large_line(self):
        line = 'x' * 300_000
        ended = await self.run_client('/echo', '--count', '1', '--wait', '30', stdin=line.encode() + b'\n')
        self.assertEqual(ended.out.decode(), line + '\n')

    async def test_messages_before_the_close_are_printed(self):
        ended = await self.run_client('/greet', '--wait', '30')
        self.assertEqual((ended.code, ended.out), (0, b'one\ntwo\nthree\n'), ended)
        self.assertIn('1000', ended.err)

    async def test_the_close_code_decides_the_exit_code(self):
        for code, exit_code in [(1000, 0), (1001, 0), (1008, 5), (4000, 5)]:
            ended = await self.run_client(f'/close/{code}', '--wait', '30')
            self.assertEqual(ended.code, exit_code, ended)
            self.assertIn(str(code), ended.err)
            self.assertIn('as asked', ended.err)

    async def test_an_end_without_a_close_frame_is_abnormal(self):
        ended = await self.run_client('/cut', '--wait', '30')
        self.assertEqual(ended.code, 5, ended)
        self.assertIn('1006', ended.err)

    async def test_fields_origin_and_subprotocol_are_sent(self):
        ended = await self.run_client('/headers', '-H', 'X-Extra: 17', '--origin', 'https://example.org',
                                      '--subprotocol', 'chat', '--count', '1', '--wait', '30')
        self.assertEqual(json.loads(ended.out), {'origin': 'https://example.org', 'extra': '17', 'protocol': 'chat'})

    async def test_a_refusal_names_the_status(self):
        ended = await self.run_client('/secret', '--wait', '30')
        self.assertEqual(ended.code, 4, ended)
        self.assertIn('401', ended.err)
        ended = await self.run_client('/secret', '-H', 'Authorization: Bearer sesame', '--count', '1', '--wait', '30',
                                      stdin=b'let in\n')
        self.assertEqual((ended.code, ended.out), (0, b'let in\n'), ended)

    async def test_verbose_shows_the_handshake_and_every_frame(self):
        ended = await self.run_client('/echo', '-v', '--count', '1', '--wait', '30', stdin=b'hello\n')
        self.assertEqual(ended.out, b'hello\n')
        for part in ['GET /echo HTTP/1.1', 'Sec-WebSocket-Key', '101', 'text', '5']:
            self.assertIn(part, ended.err)

    async def test_slash_commands(self):
        ended = await self.run_client('/echo', '-v', '--slash', '--wait', '30', stdin=b'/ping\n/close 4001 enough\n')
        self.assertIn('pong', ended.err.lower())
        self.assertIn('4001', ended.err)

    async def test_wait_bounds_the_time_after_the_end_of_stdin(self):
        ended = await self.run_client('/echo', '--wait', '0.2')
        self.assertEqual((ended.code, ended.out), (0, b''), ended)


class AgainstPython(OurClient, ClientTest):
    async def asyncSetUp(self):
        server = await ws.serve(self.serve, '127.0.0.1', 0, process_request=self.guard, subprotocols=['chat'])
        self.addAsyncCleanup(server.wait_closed)
        self.addCleanup(server.close)
        self.url = 'ws://127.0.0.1:%d' % server.sockets[0].getsockname()[1]

    @staticmethod
    async def guard(path, fields):
        if path == '/secret' and fields.get('Authorization') != 'Bearer sesame':
            return http.HTTPStatus.UNAUTHORIZED, [], b'no sesame\n'

    @staticmethod
    async def serve(peer, path):
        _, what, *argument = path.split('/')
        if what == 'close':
            await peer.close(int(argument[0]), 'as asked')
        elif what == 'cut':
            peer.transport.abort()
        elif what == 'greet':
            for text in ['one', 'two', 'three']:
                await peer.send(text)
            await peer.close()
        elif what == 'headers':
            fields = peer.request_headers
            await peer.send(json.dumps({'origin': fields.get('Origin'), 'extra': fields.get('X-Extra'),
                                        'protocol': peer.subprotocol}))
            await peer.wait_closed()
        else:
            async for message in peer:
                await peer.send(message)


class AgainstNode(OurClient, ClientTest):
    async def asyncSetUp(self):
        node = shutil.which('node')
        if not node:
            self.skipTest('node is missing')
        server = await self.process(node, HERE / 'ws_server.mjs')
        self.url = (await server.line(r'^ws://\S+$', 'stdout'))[0]


class OnATerminal(ClientTest):
    async def asyncSetUp(self):
        async def serve(peer, _):
            await peer.send('steers \x1b[2J nothing')
            await peer.wait_closed()
        server = await ws.serve(serve, '127.0.0.1', 0)
        self.addAsyncCleanup(server.wait_closed)
        self.addCleanup(server.close)
        self.url = 'ws://127.0.0.1:%d' % server.sockets[0].getsockname()[1]

    async def test_both_programs_escape_control_characters(self):
        for variable in ('WSD_CTL', 'WSD'):
            with self.subTest(variable):
                ours, theirs = os.openpty()
                self.addCleanup(os.close, ours)
                self.addCleanup(os.close, theirs)
                child = await asyncio.create_subprocess_exec(
                    program(variable), 'connect', self.url, '--count', '1', stdin=theirs, stdout=theirs,
                    stderr=asyncio.subprocess.PIPE, preexec_fn=die_with_parent)
                _, err = await self.within(child.communicate())
                self.assertEqual(child.returncode, 0, err)
                self.assertIn(b'connected to', err)
                out = os.read(ours, 4096)
                self.assertIn(b'nothing', out)
                self.assertNotIn(b'\x1b', out)


class AgainstNobody(ClientTest):
    async def test_a_port_on_which_no_program_listens(self):
        reader = await asyncio.start_server(lambda *_: None, '127.0.0.1', 0)
        self.url = 'ws://127.0.0.1:%d' % reader.sockets[0].getsockname()[1]
        reader.close()
        await reader.wait_closed()
        ended = await self.run_client('/')
        self.assertEqual(ended.code, 1, ended)
        self.assertIn(self.url.removeprefix('ws://'), ended.err)


if __name__ == '__main__':
    main()
