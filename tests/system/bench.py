"""`wsd-ctl bench` against wsd and against servers of other projects: Python's websockets and Node's ws."""
import asyncio
import json
import shutil
import signal

from harness import HERE, PATIENCE, SystemTest, die_with_parent, main, program, websockets

ws = websockets()


class Ended:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __repr__(self):
        return f'exit code {self.code}\nstdout: {self.out!r}\nstderr: {self.err}'

    @property
    def figures(self):
        return json.loads(self.out)


class BenchTest(SystemTest):
    async def bench(self, url, *words, binary='WSD_CTL'):
        child = await asyncio.create_subprocess_exec(
            program(binary), 'bench', url, '--warm-up', '50ms', '--duration', '200ms', '--connections', '8',
            '--timeout', f'{PATIENCE:.0f}s', *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, preexec_fn=die_with_parent)
        async with asyncio.timeout(2 * PATIENCE):
            out, err = await child.communicate()
        return Ended(child.returncode, out.decode(), err.decode())

    async def faultless(self, url, *words):
        """The figures of a load without faults. Tries longer runs if a busy machine measures nothing in a short one."""
        for duration in ('200ms', '1s', '5s', '25s'):
            ended = await self.bench(url, '--json', *words, '--duration', duration)
            self.assertEqual(ended.code, 0, ended)
            figures = ended.figures
            faults = [figures[fault] for fault in ('lost', 'wrong', 'ended', 'failed')]
            self.assertEqual(faults, [0, 0, 0, 0], ended)
            if figures['messages'] > 0:
                return figures
        self.fail(f'nothing was measured: {ended}')


class AnyEcho:
    """The same tests for all servers. A subclass sets the server's url."""

    async def test_echoes_in_a_closed_loop(self):
        figures = await self.faultless(self.url, '--in-flight', '4')
        self.assertGreater(figures['latency_us']['p50'], 0)
        self.assertLessEqual(figures['latency_us']['p50'], figures['latency_us']['max'])

    async def test_echoes_at_a_rate(self):
        figures = await self.faultless(self.url, '--rate', '400')
        self.assertEqual(figures['rate'], 400)

    async def test_binary_messages_and_large_ones(self):
        await self.faultless(self.url, '--binary')
        await self.faultless(self.url, '--size', '200KiB', '--connections', '2')

    async def test_handshakes(self):
        await self.faultless(self.url, '--mode', 'handshake')

    async def test_idle_connections(self):
        ended = await self.bench(self.url, '--json', '--mode', 'idle', '--connections', '100')
        self.assertEqual((ended.code, ended.figures['ended']), (0, 0), ended)


class AgainstWsd(AnyEcho, BenchTest):
    async def asyncSetUp(self):
        self.daemon = await self.wsd('--handler', 'chat=broadcast')
        self.url = self.daemon.url

    async def test_fan_out(self):
        words = ['--mode', 'fan-out', '--subprotocol', 'chat', '--connections', '20']
        figures = await self.faultless(self.url, *words, '--in-flight', '3')
        self.assertEqual(figures['mode'], 'fan-out')

    async def test_the_cpu_time_and_memory_of_the_server(self):
        figures = await self.faultless(self.url, '--server-pid', str(self.daemon.pid))
        self.assertGreater(figures['server']['cpu_us_per_message'], 0)
        self.assertGreater(figures['server']['rss'], 1 << 20)
        self.assertGreater(figures['server']['pss'], 0)

    async def test_wsd_has_the_command_too(self):
        ended = await self.bench(self.url, binary='WSD')
        self.assertEqual(ended.code, 0, ended)
        self.assertIn('0 lost, 0 wrong', ended.out)

    async def test_a_handler_that_never_answers(self):
        quiet = await self.wsd('--default-handler', 'null')
        ended = await self.bench(quiet.url, '--json', '--timeout', '6s')
        self.assertEqual(ended.code, 1, ended)
        self.assertEqual(ended.figures['lost'], 8)
        self.assertIn('never received', ended.err)

    async def test_a_server_that_dies(self):
        load = await self.process(program('WSD_CTL'), 'bench', '--json', '--duration', '1h', '--warm-up', '0', self.url)
        while not any(c['messages_in'] > 100 for c in await self.daemon.ctl_json('list')):
            pass
        await self.daemon.kill()
        self.assertEqual(await load.exit_code(), 5, load.text())
        figures = json.loads(load.text('stdout'))
        self.assertEqual(figures['ended'], 64)
        self.assertGreater(figures['messages'], 0)

    async def test_ctrl_c_ends_it_with_the_results_so_far(self):
        load = await self.process(program('WSD_CTL'), 'bench', '--json', '--duration', '1h', '--warm-up', '0', self.url)
        while not any(c['messages_in'] > 100 for c in await self.daemon.ctl_json('list')):
            pass
        load.process.send_signal(signal.SIGINT)
        self.assertEqual(await load.exit_code(), 130, load.text())
        figures = json.loads(load.text('stdout'))
        self.assertTrue(figures['interrupted'])
        self.assertGreater(figures['messages'], 0)
        self.assertEqual((figures['lost'], figures['wrong']), (0, 0))


class AgainstPython(AnyEcho, BenchTest):
    async def asyncSetUp(self):
        server = await ws.serve(self.echo, '127.0.0.1', 0)
        self.addAsyncCleanup(server.wait_closed)
        self.addCleanup(server.close)
        self.url = 'ws://127.0.0.1:%d/' % server.sockets[0].getsockname()[1]

    @staticmethod
    async def echo(peer, _=None):
        async for message in peer:
            await peer.send(message)


class AgainstNode(AnyEcho, BenchTest):
    async def asyncSetUp(self):
        node = shutil.which('node')
        if not node:
            self.skipTest('node is missing')
        server = await self.process(node, HERE / 'ws_server.mjs')
        self.url = (await server.line(r'^ws://\S+$', 'stdout'))[0] + '/echo'

    async def test_a_server_that_closes_at_once(self):
        ended = await self.bench(self.url.replace('/echo', '/close/4001'), '--json', '--duration', '1h')
        self.assertEqual(ended.code, 5, ended)
        self.assertIn('4001', ended.err)

    async def test_a_server_that_refuses(self):
        ended = await self.bench(self.url.replace('/echo', '/secret'))
        self.assertEqual(ended.code, 4, ended)
        self.assertIn('401', ended.err)
        await self.faultless(self.url.replace('/echo', '/secret'), '-H', 'Authorization: Bearer sesame')


if __name__ == '__main__':
    main()
