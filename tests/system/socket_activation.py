"""systemd-socket-activate starts a server, or wsd, for its first client, who is served on the inherited socket."""
import shutil
import socket
import subprocess
import time
import unittest

import raw
from harness import PATIENCE, die_with_parent, program, skip

ACTIVATE = shutil.which('systemd-socket-activate') or skip('systemd-socket-activate is missing (Debian: systemd)')


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


class Activation(unittest.TestCase):
    def test_the_first_client_starts_the_server(self):
        self.start([program('HTTP_SERVER'), 'systemd'], lambda server: server.stdin.close())

    def test_the_first_client_starts_wsd(self):
        self.start([program('WSD'), '--listen', 'systemd', '--handler', 'echo=echo'],
                   lambda wsd: wsd.terminate(), Sec_WebSocket_Protocol='echo')

    def start(self, words, end, **fields):
        port = free_port()
        command = [ACTIVATE, '-l', f'127.0.0.1:{port}', *words]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              preexec_fn=die_with_parent) as server:
            peer = self.connect(port)
            peer.socket.sendall(raw.request(**fields))
            self.assertIn(b' 101 ', peer.socket.recv(4096).split(b'\r\n')[0])
            peer.socket.sendall(raw.frame(raw.TEXT, b'hi'))
            self.assertEqual(peer.socket.recv(4096), b'\x81\x02hi')
            self.assertEqual(server.stdout.readline(), f'listening on ws://127.0.0.1:{port}\n')
            end(server)
            self.assertEqual(server.wait(PATIENCE), 0)

    def connect(self, port):
        """Waits until systemd-socket-activate listens."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return raw.Peer(('127.0.0.1', port))
            except ConnectionRefusedError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)


if __name__ == '__main__':
    unittest.main()
