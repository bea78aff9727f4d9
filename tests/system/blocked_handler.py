"""All workers that a handler may use sleep forever in it, and wsd continues to serve."""
import asyncio
import time

from harness import PATIENCE, SystemTest, main, program, websockets

ws = websockets()
WORKERS = 3
BLOCKED = WORKERS - 1  # the last one is for other handlers


class BlockedHandler(SystemTest):
    async def asyncSetUp(self):
        self.daemon = await self.wsd('--handler', f'sleep={program("SLEEPER")}', '--workers', WORKERS,
                                     '--handler-deadline', '200ms', '--grace', '1s')
        self.echo = await self.connect(self.daemon.url)
        # more than workers, so that messages wait for a worker
        self.victims = [await self.connect(self.daemon.url, subprotocols=['sleep']) for _ in range(WORKERS + 1)]
        for victim in self.victims:
            await victim.send('good night')
        await self.daemon.line('handler sleeper', 'stderr')
        async with asyncio.timeout(PATIENCE):
            while not self.is_blocked(await self.status()):
                pass  # each look starts a process, so this does not spin

    @staticmethod
    def is_blocked(status):
        overdue = sum(worker['overdue'] for worker in status['workers'])
        return overdue == BLOCKED and status['queues'] == [{'handler': 'sleeper', 'waiting': 2, 'running': BLOCKED}]

    async def status(self):
        status, = await self.daemon.ctl_json('status')
        return status

    async def test_status_names_the_handler_and_how_long_it_hangs(self):
        status = await self.status()
        workers = [worker for worker in status['workers'] if worker['handler'] is not None]
        self.assertEqual([worker['handler'] for worker in workers], ['sleeper'] * BLOCKED)
        for worker in workers:
            self.assertTrue(worker['overdue'])
            self.assertGreaterEqual(worker['since_ms'], 200)
        self.assertRegex(await self.daemon.ctl('status'), r'sleeper hangs for \d')
        self.assertEqual((await self.status())['counters']['handlers_overdue'], BLOCKED)

    async def test_pings_are_answered_even_on_the_blocked_connections(self):
        for client in [self.echo, *self.victims]:
            await self.within(await client.ping(b'still there?'))

    async def test_an_inline_handler_echoes(self):
        for number in range(100):
            await self.echo.send(str(number))
            self.assertEqual(await self.within(self.echo.recv()), str(number))

    async def test_commands_that_need_no_worker_work(self):
        rows = await self.daemon.ctl_json('list')
        self.assertEqual(len(rows), WORKERS + 2)
        await self.daemon.ctl('broadcast', 'to all')
        for client in [self.echo, *self.victims]:
            self.assertEqual(await self.within(client.recv()), 'to all')
        await self.daemon.ctl('ping', '--all')
        sleeper = next(row['id'] for row in rows if row['subprotocol'] == 'sleep')
        await self.daemon.ctl('send', sleeper, 'wake up')
        await self.daemon.ctl('close', sleeper, '--code', '4000')

    async def test_new_connections_open_and_old_ones_close(self):
        another = await self.connect(self.daemon.url, subprotocols=['sleep'])
        await self.within(another.close())
        self.assertEqual(another.close_code, 1000)
        await self.within(self.victims[0].close(4001))
        self.assertEqual(self.victims[0].close_code, 4001)

    async def test_stop_meets_its_deadline(self):
        before = time.monotonic()
        self.assertEqual(await self.daemon.stop(), 0)
        self.assertLess(time.monotonic() - before, 20)  # 1 s of grace; the rest is for slow machines
        for client in [self.echo, *self.victims]:
            await self.within(client.wait_closed())
            self.assertEqual(client.close_code, 1001)

    async def test_the_command_stop_works_too(self):
        await self.daemon.ctl('stop')
        self.assertEqual(await self.daemon.exit_code(), 0)


if __name__ == '__main__':
    main()
