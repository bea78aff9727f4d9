"""kill -9 in the middle of commands: each file renamed into new/ is executed at least once, in the order of names.

Every command is `call record N`. The handler appends N to a file, which shows afterwards what was executed.
"""
import asyncio
import threading

from harness import PATIENCE, SystemTest, main, program
from raw import TEXT, Peer

COMMANDS = 600
KILLS = 6


class CrashRestart(SystemTest):
    async def start(self):
        self.record = self.folder() / 'record'
        self.record.write_text('')
        return await self.wsd('--handler', f'record={program("RECORDER")}', '--handler-config', f'record={self.record}')

    def recorded(self):
        return [int(line) for line in self.record.read_text().splitlines()]

    async def until_recorded(self, count):
        async with asyncio.timeout(PATIENCE):
            while len(self.recorded()) < count:
                await asyncio.sleep(0.001)  # a file can't be awaited

    async def kill(self, daemon):
        daemon.process.kill()
        await daemon.exit_code()

    def check_order(self, numbers):
        """Each command was executed at least once. Only the one that was running at a kill may be repeated."""
        self.assertEqual(sorted(set(numbers)), list(range(COMMANDS)))
        repeated = 0
        for before, number in zip(numbers, numbers[1:]):
            self.assertIn(number - before, (0, 1), 'out of order')
            repeated += number == before
        self.assertLessEqual(repeated, KILLS)

    async def test_no_command_is_lost(self):
        daemon = await self.start()
        dropping = threading.Thread(target=lambda: [
            daemon.drop(f'command-{number:06}', f'call record {number}') for number in range(COMMANDS)])
        dropping.start()
        try:
            for kill in range(1, KILLS + 1):
                await self.until_recorded(kill * COMMANDS // (KILLS + 2))
                await self.kill(daemon)
                await daemon.again()
        finally:
            await asyncio.to_thread(dropping.join)
        folder, text = await daemon.answer(f'command-{COMMANDS - 1:06}')
        self.assertEqual((folder, text.split('\n')[0]), ('done', 'ok'))
        self.assertEqual(await daemon.stop(), 0)  # a command leaves cur/ after its answer is written
        self.check_order(self.recorded())
        self.assertEqual(list((daemon.spool / 'new').iterdir()), [])
        self.assertEqual(list((daemon.spool / 'cur').iterdir()), [])
        # A kill between the execution and the answer loses the answer, and the next start says so.
        lost = list((daemon.spool / 'failed').iterdir())
        for answer in lost:
            self.assertRegex(answer.read_text(), '^error crashed the command was executed, ')
        self.assertLessEqual(len(lost), KILLS)
        self.assertEqual(len(list((daemon.spool / 'done').iterdir())), COMMANDS - len(lost))

    async def test_a_command_given_while_wsd_is_down_is_executed_when_it_starts(self):
        daemon = await self.start()
        await self.kill(daemon)
        for number in reversed(range(COMMANDS)):  # the order of names counts, not that of arrival
            daemon.drop(f'command-{number:06}', f'call record {number}')
        await daemon.again()
        await daemon.answer(f'command-{COMMANDS - 1:06}')
        self.assertEqual(self.recorded(), list(range(COMMANDS)))

    async def test_a_command_in_cur_is_executed_at_the_start(self):
        """A kill between taking a command and answering it leaves such a file."""
        daemon = await self.start()
        await self.kill(daemon)
        (daemon.spool / 'cur' / 'taken').write_text('call record 17')
        await daemon.again()
        self.assertEqual((await daemon.answer('taken'))[0], 'done')
        self.assertEqual(self.recorded(), [17])

    async def test_a_command_that_kills_wsd_is_tried_twice(self):
        daemon = await self.start()
        for name, words in (('1-kills', 'call record abort'), ('2-after', 'call record 2')):
            daemon.drop(name, words)
        await daemon.exit_code()
        await daemon.starts_and_ends()
        await daemon.again()
        self.assertEqual((await daemon.answer('2-after'))[0], 'done')
        folder, text = await daemon.answer('1-kills')
        self.assertEqual((folder, text.split()[:2]), ('failed', ['error', 'crashed']))
        self.assertEqual(self.recorded(), [2])

    async def test_numbered_broadcasts_arrive_in_order_after_the_restart(self):
        daemon = await self.start()
        await self.kill(daemon)
        await daemon.again()

        def listen():
            with Peer(daemon.address) as peer:
                peer.upgrade()
                for number in range(200):
                    daemon.drop(f'broadcast-{number:06}', f'broadcast\n{number}')
                return [peer.message() for _ in range(200)]
        self.assertEqual(await asyncio.to_thread(listen), [(TEXT, str(number).encode()) for number in range(200)])


if __name__ == '__main__':
    main()
