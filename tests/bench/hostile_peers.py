#!/usr/bin/env python3
"""Measures wsd next to peers that make it hold memory: the waits of quiet clients, and the memory.

usage: hostile_peers.py WSD WSD_CTL [--memory SIZE] [--seconds N] [--rounds N] [--halves N] [--unread N] [--bar RATIO]

Each round runs `wsd-ctl bench` with 100 connections at a fixed rate twice: alone, and while the peers push. The halves each send
all of a message of 16 MiB but its last byte. The unread send messages of 1 MiB and do not read their echoes.

A single round varies too much. So there are many short ones, and the waits of all are taken together. The result is the ratio
of the two p99, the interval in which it is in 95 % of such runs, and whether that is below the bar.
"""
import argparse
import json
import multiprocessing
import os
import pathlib
import re
import select
import socket
import subprocess
import tempfile
import threading
import time

from pooled import interval, pooled_quantile, ratio_of, verdict

MIB = 1 << 20
REQUEST = (b'GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
           b'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n')


def frame_header(length):
    return b'\x82\xff' + length.to_bytes(8, 'big') + bytes(4)


class Peer:
    """A connection that sends `data` again and again, or once. It connects again when wsd closes it."""

    def __init__(self, address, data, repeat):
        self.address, self.data, self.repeat = address, memoryview(data), repeat
        self.socket = None

    def connect(self):
        self.socket = socket.create_connection(self.address)
        self.socket.sendall(REQUEST)
        answer = self.socket.recv(4096)
        self.socket.setblocking(False)
        self.sent = 0
        return answer.startswith(b'HTTP/1.1 101')

    def push(self):
        """Sends what the kernel takes. Returns False if the connection has ended."""
        try:
            while True:
                if self.sent == len(self.data):
                    if not self.repeat:
                        return True
                    self.sent = 0
                self.sent += self.socket.send(self.data[self.sent:self.sent + MIB])
        except BlockingIOError:
            return True
        except OSError:
            return False


def attack(address, halves, unread, stop):
    """In a process of its own, which does not take the processor from the clients that are measured."""
    os.nice(19)
    half = frame_header(16 * MIB) + bytes(16 * MIB - 1)
    echo = frame_header(MIB) + bytes(MIB)
    idle = [Peer(address, half, False) for _ in range(halves)] + [Peer(address, echo, True) for _ in range(unread)]
    writable = select.epoll()
    pushing = {}
    while not stop.is_set():
        for peer in idle[:]:
            try:
                if peer.connect():
                    pushing[peer.socket.fileno()] = peer
                    writable.register(peer.socket, select.EPOLLOUT | select.EPOLLET)
                    idle.remove(peer)
            except OSError:
                pass
        for number, _ in writable.poll(0.1):
            if not pushing[number].push():
                peer = pushing.pop(number)
                peer.socket.close()
                idle.append(peer)


class Memory(threading.Thread):
    """Reads the resident memory of a process every 5 ms."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.file = pathlib.Path(f'/proc/{pid}/statm')
        self.most = self.now()
        self.start()

    def now(self):
        return int(self.file.read_text().split()[1]) * 4096

    def run(self):
        while True:
            try:
                self.most = max(self.most, self.now())
            except (OSError, IndexError):
                return
            time.sleep(0.005)


class Daemon:
    """wsd on the first core. Everybody else is on the others."""

    def __init__(self, options, folder):
        self.options, self.spool = options, f'{folder}/spool'
        self.process = subprocess.Popen(
            ['taskset', '-c', '0', options.wsd, '--listen', '127.0.0.1:0', '--spool', self.spool, '--pid-file',
             f'{folder}/pid', '--memory', options.memory],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.url = re.search(r'listening on (\S+)', self.process.stdout.readline())[1]
        self.address = ('127.0.0.1', int(self.url.rstrip('/').rpartition(':')[2]))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def waits(self):
        """Of 100 quiet connections, in microseconds: quantiles by name. Fails if an echo is lost."""
        done = subprocess.run([self.options.wsd_ctl, 'bench', self.url, '--connections', '100', '--size', '125', '--rate',
                               '5000', '--duration', f'{self.options.seconds}s', '--json'],
                              stdout=subprocess.PIPE, text=True)
        result = json.loads(done.stdout)
        assert result['lost'] + result['failed'] == 0, result
        return result['latency_us']

    def status(self):
        done = subprocess.run([self.options.wsd_ctl, '--spool', self.spool, '--json', 'status'],
                              stdout=subprocess.PIPE, text=True)
        return json.loads(done.stdout)


def measure_round(options):
    """Returns the waits alone and next to the peers, the most resident memory, and the status at the end."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, Daemon(options, folder) as wsd:
        alone = wsd.waits()
        memory = Memory(wsd.process.pid)
        stop = multiprocessing.Event()
        attacker = multiprocessing.Process(target=attack, args=(wsd.address, options.halves, options.unread, stop),
                                           daemon=True)
        attacker.start()
        while wsd.status()['counters']['memory_pauses'] == 0:
            time.sleep(0.05)
        together = wsd.waits()
        status = wsd.status()
        stop.set()
        attacker.join()
        return alone, together, memory.most, status


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('wsd')
    parser.add_argument('wsd_ctl')
    parser.add_argument('--memory', default='256MiB')
    parser.add_argument('--seconds', type=int, default=2)
    parser.add_argument('--rounds', type=int, default=40)
    parser.add_argument('--halves', type=int, default=60)
    parser.add_argument('--unread', type=int, default=20)
    parser.add_argument('--bar', type=float, default=3)
    options = parser.parse_args()
    os.sched_setaffinity(0, os.sched_getaffinity(0) - {0} or {0})
    rounds = []
    for _ in range(options.rounds):
        alone, together, resident, status = measure_round(options)
        rounds.append((alone, together))
        counters = ', '.join(f'{name} {status["counters"][name]}' for name in (
            'memory_pauses', 'closed_for_memory', 'refused_for_memory', 'message_timeouts', 'slow_consumers'))
        print(f'p99 {alone["p99"]:.0f} us alone, {together["p99"]:.0f} us next to the peers; memory {status["memory"] / MIB:.0f} MiB of '
              f'{status["memory_limit"] / MIB:.0f} MiB, resident at most {resident / MIB:.0f} MiB; {counters}', flush=True)
    alone, together = (pooled_quantile(curves, 0.99) for curves in zip(*rounds))
    low, high = interval(rounds)
    print(f'all rounds: p99 {alone:.0f} us alone, {together:.0f} us next to the peers')
    print(f'{ratio_of(rounds):.2f} times, in 95 % of such runs {low:.2f} to {high:.2f}: the ratio '
          f'{verdict(low, high, options.bar, len(rounds))}')


if __name__ == '__main__':
    main()
