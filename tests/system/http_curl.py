"""Plain HTTP requests of curl to a server with routes: kept streams, bodies of each kind, uploads, downloads, events."""
import os
import shutil
import subprocess
import tempfile
import unittest

from harness import PATIENCE, program, skip

CURL = shutil.which('curl') or skip('curl is missing')


class Http(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = subprocess.Popen([program('HTTP_SERVER')], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        cls.url = cls.server.stdout.readline().split()[-1].replace('ws://', 'http://')
        cls.folder = tempfile.TemporaryDirectory(prefix='wsserver-http-')
        cls.large = os.path.join(cls.folder.name, 'large')
        with open(cls.large, 'wb') as file:
            file.write(b'u' * 3_000_000)

    @classmethod
    def tearDownClass(cls):
        cls.server.stdin.close()
        code = cls.server.wait(PATIENCE)
        cls.server.stdout.close()
        cls.folder.cleanup()
        assert code == 0, f'the server ended with {code}'

    def curl(self, *words):
        """What curl prints for these words; `URL` in them is that of the server."""
        command = [CURL, '--silent', '--show-error', '--max-time', str(PATIENCE), '--noproxy', '*',
                   *[word.replace('URL', self.url) for word in words]]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_a_stream_is_kept(self):
        self.assertEqual(self.curl('-w', '%{num_connects}\n', 'URL/hello', 'URL/hello', 'URL/none', 'URL/hello'),
                         'hello\n1\nhello\n0\nnothing is at this path\n0\nhello\n0\n')
        self.assertEqual(self.curl('--http1.0', '-w', '%{num_connects}\n', 'URL/hello', 'URL/hello'),
                         'hello\n1\nhello\n1\n')

    def test_methods(self):
        head = self.curl('--head', 'URL/hello')
        self.assertIn('Content-Length: 6\n', head)
        self.assertTrue(head.endswith('\n\n'))
        self.assertIn('Allow: GET, HEAD, OPTIONS\n', self.curl('-i', '-X', 'OPTIONS', 'URL/hello'))
        self.assertIn('405 Method Not Allowed', self.curl('-i', '-X', 'DELETE', 'URL/hello'))

    def test_bodies(self):
        self.assertEqual(self.curl('-d', 'some text', 'URL/echo'), 'some text')
        self.assertEqual(self.curl('-d', 'some text', '-H', 'Transfer-Encoding: chunked', 'URL/echo'), 'some text')
        self.assertEqual(self.curl('-d', 'some text', '-H', 'Expect: 100-continue', 'URL/echo'), 'some text')
        self.assertEqual(self.curl('-w', '%{http_code}', '-o', os.devnull, '--data-binary', f'@{self.large}',
                                   'URL/echo'), '413')

    def test_an_upload(self):
        self.assertEqual(self.curl('-T', self.large, 'URL/upload'), '3000000')
        self.assertEqual(self.curl('-T', self.large, '-H', 'Transfer-Encoding: chunked', 'URL/upload'), '3000000')

    def test_downloads(self):
        for query in '', '&length':
            for words in [], ['--http1.0']:
                with self.subTest(query=query, words=words):
                    size = self.curl(*words, '-w', '%{size_download}', '-o', os.devnull,
                                     f'URL/download?bytes=5000000{query}')
                    self.assertEqual(size, '5000000')

    def test_a_door(self):
        """An opening handshake is refused with the program's response, and one with a cookie is accepted."""
        upgrade = ['--http1.1', '-i', '-H', 'Connection: Upgrade', '-H', 'Upgrade: websocket',
                   '-H', 'Sec-WebSocket-Version: 13', '-H', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', 'URL/rooms/a']
        refused = self.curl(*upgrade)
        self.assertTrue(refused.startswith('HTTP/1.1 401 Unauthorized\n'), refused)
        self.assertIn('\nWWW-Authenticate: Cookie\n', refused)
        self.assertTrue(refused.endswith('\n\nlog in first\n'), refused)
        jar = os.path.join(self.folder.name, 'jar')
        self.curl('-X', 'POST', '-c', jar, 'URL/login?user=J%C3%B6rg')
        command = [CURL, '--silent', '-N', '--max-time', '2', '--noproxy', '*', '-b', jar,
                   *[word.replace('URL', self.url) for word in upgrade]]
        accepted = subprocess.run(command, capture_output=True, check=False).stdout  # ends by the time limit
        self.assertTrue(accepted.startswith(b'HTTP/1.1 101 Switching Protocols\r\n'), accepted)
        self.assertIn(b'\r\nX-User: J%C3%B6rg\r\n', accepted)
        self.assertTrue(accepted.endswith('welcome to a, Jörg'.encode()), accepted)

    def test_events(self):
        self.assertEqual(self.curl('-N', 'URL/events'), 'data: 1\n\ndata: 2\n\ndata: 3\n\n')


if __name__ == '__main__':
    unittest.main()
