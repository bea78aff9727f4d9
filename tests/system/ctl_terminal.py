"""wsd-ctl connect on a terminal, as a person uses it."""
import os
import pty
import re
import select
import subprocess
import termios
import time

from harness import PATIENCE, SystemTest, die_with_parent, main, program


class Person:
    """Types on a terminal and reads the screen."""

    def __init__(self, *words, env=None):
        self.terminal, self.end = pty.openpty()
        self.before = termios.tcgetattr(self.end)
        self.screen = b''

        def start():
            die_with_parent()
            os.setsid()
            os.close(os.open(os.ttyname(0), os.O_RDWR))  # makes it the controlling terminal

        self.process = subprocess.Popen(
            [program('WSD_CTL'), *words], stdin=self.end, stdout=self.end, stderr=self.end, preexec_fn=start,
            env={**os.environ, 'TERM': 'xterm', **(env or {})})

    def type(self, text):
        data = text.encode()
        while data:  # the terminal takes only as much as it has space for
            self.read_some(write=True)
            _, writable, _ = select.select([], [self.terminal], [], 0)
            if writable:
                data = data[os.write(self.terminal, data[:1024]):]

    def read_some(self, write=False):
        readable, writable, _ = select.select([self.terminal], [self.terminal] if write else [], [], PATIENCE)
        if readable:
            self.screen += os.read(self.terminal, 65536)
        if not readable and not writable:
            raise AssertionError(f'nothing happens on the terminal: {self.screen!r}')

    def sees(self, pattern):
        """Waits until the screen shows it, and forgets what was shown up to there."""
        deadline = time.monotonic() + PATIENCE
        while not (found := re.search(pattern.encode(), self.screen)):
            if time.monotonic() > deadline:
                raise AssertionError(f'/{pattern}/ is not shown: {self.screen!r}')
            self.read_some()
        self.screen = self.screen[found.end():]
        return found

    def exit_code(self):
        return self.process.wait(PATIENCE)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.terminal)
        os.close(self.end)


class CtlTerminal(SystemTest):
    async def person(self, *words, **how):
        daemon = await self.wsd()
        person = Person('connect', *words, daemon.url, **how)
        self.addCleanup(person.close)
        person.sees(r'connected to \S+\r\n')
        return person

    async def test_a_pasted_line_of_any_length_is_one_message(self):
        person = await self.person('-v')
        person.type('x' * 50_000 + '\n')
        person.sees(r'< text, FIN, 50000 bytes')
        person.sees(r'x{50000}')
        person.type('\x04')
        person.sees('closed: 1000')
        self.assertEqual(person.exit_code(), 0)

    async def test_lines_can_be_edited_and_brought_back(self):
        person = await self.person()
        person.type('helo\x1b[Dl\x1b[C!\x7f\n')
        person.sees(r'\r\x1b\[Khello\r\n')
        person.type('\x1b[A again\n')
        person.sees(r'\r\x1b\[Khello again\r\n')
        person.type('\x04')
        person.sees('closed: 1000')
        self.assertEqual(person.exit_code(), 0)

    async def test_a_message_is_printed_above_the_line_that_is_typed(self):
        daemon = await self.wsd()
        person = Person('connect', daemon.url)
        self.addCleanup(person.close)
        person.sees(r'connected to \S+\r\n')
        person.type('half')
        person.sees('> half')
        await daemon.ctl('broadcast', 'news')
        person.sees(r'\r\x1b\[Knews\r\n\r\x1b\[K> half')
        person.type(' a line\n')
        person.sees(r'\r\x1b\[Khalf a line\r\n')

    async def test_slash_commands_are_taken_and_the_terminal_is_given_back(self):
        person = await self.person()
        self.assertNotEqual(termios.tcgetattr(person.end), person.before)
        person.type('/ping\n')
        person.sees('pong after')
        person.type('/close 4001 enough\n')
        person.sees('closed: 4001')
        self.assertEqual(person.exit_code(), 0)
        self.assertEqual(termios.tcgetattr(person.end), person.before)

    async def test_ctrl_c_gives_the_terminal_back(self):
        person = await self.person()
        person.type('half\x03')
        person.sees('closed: 1001')
        self.assertEqual(person.exit_code(), 130)
        self.assertEqual(termios.tcgetattr(person.end), person.before)

    async def test_a_terminal_that_cannot_move_its_cursor_is_left_as_it_is(self):
        person = await self.person(env={'TERM': 'dumb'})
        self.assertEqual(termios.tcgetattr(person.end), person.before)
        person.type('plain\n')
        person.sees(r'plain\r\nplain\r\n')

    async def test_a_line_that_the_terminal_may_have_cut_is_a_warning(self):
        for words, env in (((), {'TERM': 'dumb'}), (('--delimiter', '\\n'), {})):
            with self.subTest(words):
                person = await self.person('-v', *words, env=env)
                person.type('x' * 4094 + '\n')
                person.sees(r'< text, FIN, 4094 bytes')
                self.assertNotIn(b'cuts a line', person.screen)
                person.type('x' * 5000 + '\n')
                person.sees(r'the terminal cuts a line after 4095 bytes')
                person.sees(r'< text, FIN, 4095 bytes')


if __name__ == '__main__':
    main()
