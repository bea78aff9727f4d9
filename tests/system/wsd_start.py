"""wsd from its start: where it listens, what it answers, what it reports to its supervisor and its log."""
import asyncio
import ctypes
import json
import os
import pathlib
import pwd
import re
import resource
import shutil
import signal
import socket
import stat
import subprocess
import unittest
import urllib.error
import urllib.request

from harness import PATIENCE, Process, SystemTest, Wsd, main, program, websockets
from raw import CLOSE, TEXT, Peer, frame

ws = websockets()
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PR_CAPBSET_DROP, CAP_IPC_LOCK = 24, 14  # of linux/prctl.h and linux/capability.h


def http(daemon, path, method='GET'):
    """(status, fields, body)"""
    host, port = daemon.address
    asked = urllib.request.Request(f'http://{host}:{port}{path}', method=method)
    try:
        with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.headers, answer.read()


class Listening(SystemTest):
    async def test_each_listener_prints_a_line_and_serves(self):
        sock = self.folder() / 'wsd.sock'
        daemon = await self.wsd(listen=['127.0.0.1:0', '[::1]:0', f'unix:{sock}'])
        first, second, third = daemon.urls
        self.assertRegex(first, r'^ws://127\.0\.0\.1:[1-9]\d*$')
        self.assertRegex(second, r'^ws://\[::1\]:[1-9]\d*$')
        self.assertEqual(third, f'ws+unix:{sock}')
        for url in (first, second):
            connection = await self.connect(url)
            await connection.send('hello')
            self.assertEqual(await self.within(connection.recv()), 'hello')

        def by_unix_socket():
            with Peer(str(sock)) as peer:
                peer.upgrade()
                peer.echoes()
        await asyncio.to_thread(by_unix_socket)
        self.assertEqual(daemon.text('stdout').count('listening on'), 3)
        self.assertEqual(await daemon.stop(), 0)
        self.assertFalse(sock.exists())
        self.assertFalse((daemon.folder / 'wsd.pid').exists())

    async def test_the_pid_file_has_its_process_id(self):
        daemon = await self.wsd()
        self.assertEqual((daemon.folder / 'wsd.pid').read_text(), f'{daemon.pid}\n')

    @unittest.skipUnless(os.geteuid() == 0, 'only root can become another user')
    async def test_started_by_root_it_becomes_another_user(self):
        folder, sock = self.folder(), self.folder() / 'wsd.sock'
        folder.chmod(0o755)
        sock.parent.chmod(0o755)
        shutil.chown(folder, 'daemon')
        daemon = await self.wsd('--user', 'daemon', folder=folder, listen=['127.0.0.1:0', f'unix:{sock}'])
        other = pwd.getpwnam('daemon').pw_uid
        for task in pathlib.Path(f'/proc/{daemon.pid}/task').iterdir():
            ids = [line for line in (task / 'status').read_text().splitlines() if line.startswith(('Uid:', 'Gid:'))]
            self.assertNotIn('0', ' '.join(ids).split())
        self.assertEqual(sock.stat().st_uid, other)
        self.assertIn('connections', await daemon.ctl('status'))
        self.assertNotIn('runs as root', daemon.text())
        await daemon.ctl('broadcast', 'hello')
        await daemon.line(r'of user root \(0\)["\']?: broadcast: ok')
        connection = await self.connect(daemon.url)
        await connection.send('hello')
        self.assertEqual(await self.within(connection.recv()), 'hello')
        self.assertEqual(await daemon.stop(), 0)

    @unittest.skipUnless(os.geteuid() == 0, 'only root can run as root')
    async def test_as_root_it_logs_a_warning(self):
        daemon = await self.wsd()
        await daemon.line('warning wsd runs as root', 'stderr')

    async def test_it_starts_again_after_kill_9(self):
        daemon = await self.wsd()
        daemon.process.kill()
        await daemon.exit_code()
        self.assertTrue((daemon.folder / 'wsd.pid').exists())
        await daemon.again()
        self.assertEqual((daemon.folder / 'wsd.pid').read_text(), f'{daemon.pid}\n')

    async def test_the_descriptor_limit_is_raised(self):
        daemon = Wsd()
        self.processes.append(daemon)
        self.addAsyncCleanup(daemon.clean_up)
        daemon._prepare = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 200))
        await daemon.start()
        self.assertEqual(resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE), (200, 200))

    async def test_it_starts_where_no_memory_may_be_locked(self):
        daemon = Wsd('--handler', f'sleep={program("SLEEPER")}')
        self.processes.append(daemon)
        self.addAsyncCleanup(daemon.clean_up)
        prepare = daemon._prepare

        def without_locked_memory():
            prepare()
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
            ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_IPC_LOCK)  # root; others do not have it
        daemon._prepare = without_locked_memory
        await daemon.start()
        self.assertEqual(resource.prlimit(daemon.pid, resource.RLIMIT_MEMLOCK), (0, 0))
        status = pathlib.Path(f'/proc/{daemon.pid}/status').read_text()
        self.assertFalse(int(re.search(r'^CapEff:\s*(\w+)', status, re.MULTILINE)[1], 16) & 1 << CAP_IPC_LOCK)
        for subprotocols in (None, ['sleep']):  # on a reactor and on a worker
            connection = await self.connect(daemon.url, subprotocols=subprotocols)
            await self.within(await connection.ping())
        connection = await self.connect(daemon.url)
        await connection.send('x' * 100_000)
        self.assertEqual(await self.within(connection.recv()), 'x' * 100_000)
        self.assertEqual(await daemon.stop(), 0)

    async def test_a_closed_stdout_is_harmless(self):
        daemon = await self.wsd('--control-stdin')
        daemon.process._transport.get_pipe_transport(1).close()
        await daemon.ctl('broadcast', 'hello')
        connection = await self.connect(daemon.url)
        await connection.send('hello')
        self.assertEqual(await self.within(connection.recv()), 'hello')

    async def test_no_other_file_takes_the_place_of_a_closed_standard_stream(self):
        daemon = await self.wsd(wrapper=['sh', '-c', 'exec "$@" <&- 2>&-', 'sh'])
        for stream in (0, 2):
            self.assertEqual(os.readlink(f'/proc/{daemon.pid}/fd/{stream}'), '/dev/null')
        connection = await self.connect(daemon.url)
        await connection.send('hello')
        self.assertEqual(await self.within(connection.recv()), 'hello')


class Answers(SystemTest):
    async def test_healthz_without_an_upgrade(self):
        daemon = await self.wsd()
        status, fields, body = await asyncio.to_thread(http, daemon, '/healthz')
        self.assertEqual((status, body), (200, b'ok\n'))
        status, fields, body = await asyncio.to_thread(http, daemon, '/healthz', 'HEAD')
        self.assertEqual((status, fields['Content-Length'], body), (200, '3', b''))

    async def test_every_other_request_gets_426(self):
        daemon = await self.wsd()
        for path in ['/', '/favicon.ico', '/healthz/x']:
            status, fields, _ = await asyncio.to_thread(http, daemon, path)
            self.assertEqual(status, 426, path)
            self.assertEqual(fields['Upgrade'], 'websocket')
        status, fields, _ = await asyncio.to_thread(http, daemon, '/healthz', 'POST')
        self.assertEqual((status, fields['Allow']), (405, 'GET, HEAD'))

    async def test_the_demo_serves_its_page_and_prints_what_to_open_and_type(self):
        daemon = await self.wsd('--demo')
        page = (await daemon.line(r'open (http://\S+)', 'stdout'))[1]
        self.assertEqual(page, 'http://%s:%d/' % daemon.address)
        status, fields, body = await asyncio.to_thread(http, daemon, '/')
        self.assertEqual((status, fields['Content-Type']), (200, 'text/html; charset=utf-8'))
        # With the command of this wsd, whose wsd-ctl is not in PATH.
        own = f'{program("WSD_CTL")} --spool {daemon.spool} broadcast hello</code>'
        html = (ROOT / 'apps/wsd/chat.html').read_text()
        self.assertEqual(body.decode(), html.replace("wsd-ctl broadcast 'hello'</code>", own))

        clients = [await self.connect(daemon.url, subprotocols=['chat']) for _ in range(2)]
        await clients[0].send('hello')
        self.assertEqual(await self.within(clients[1].recv()), 'hello')

        # The command that it suggests works.
        example = (await daemon.line(r'another terminal: +(\S.*)', 'stdout'))[1]
        shell = await self.process('/bin/sh', '-c', example, env=daemon.env)
        self.assertEqual(await shell.exit_code(), 0, shell.text())
        for client in clients:
            self.assertEqual(await self.within(client.recv()), 'hello from the shell')

    async def test_the_demo_prints_a_local_address_for_a_listener_on_all_addresses(self):
        daemon = await self.wsd('--demo', listen=[':0'])
        page = (await daemon.line(r'open (http://\S+)', 'stdout'))[1]
        self.assertRegex(page, r'^http://127\.0\.0\.1:[1-9]\d*/$')
        with urllib.request.urlopen(page, timeout=PATIENCE) as answer:
            self.assertEqual(answer.status, 200)


class Supervised(SystemTest):
    async def supervised(self, *flags):
        """A started wsd, and a function that waits for its next message to the supervisor and returns the lines."""
        path = self.folder() / 'notify'
        supervisor = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(supervisor.close)
        supervisor.bind(str(path))
        supervisor.settimeout(PATIENCE)
        daemon = Wsd(*flags)
        daemon.env['NOTIFY_SOCKET'] = str(path)
        self.processes.append(daemon)
        self.addAsyncCleanup(daemon.clean_up)
        await daemon.start()

        async def heard():
            return (await asyncio.to_thread(supervisor.recv, 4096)).decode().split('\n')
        return daemon, heard

    async def test_the_supervisor_is_notified_of_ready_reload_and_stop(self):
        daemon, heard = await self.supervised()
        self.assertEqual(await heard(), ['READY=1', f'MAINPID={daemon.pid}', f'STATUS=listening on {daemon.url}'])
        await daemon.ctl('reload')
        self.assertEqual((await heard())[0], 'RELOADING=1')
        self.assertEqual((await heard())[0], 'READY=1')
        self.assertEqual(await daemon.stop(), 0)
        self.assertEqual(await heard(), ['STOPPING=1'])

    async def test_no_reload_while_it_stops(self):
        daemon, heard = await self.supervised('--grace', '1h', '--close-timeout', '1h')
        with Peer(daemon.address) as peer:  # it does not answer the Close frame, so wsd keeps stopping
            peer.upgrade()
            await daemon.ctl('stop')
            daemon.process.send_signal(signal.SIGHUP)
            await daemon.line('wsd is stopping: the configuration is not reloaded')
            self.assertEqual(await daemon.stop(), 0)
        self.assertEqual([(await heard())[0] for _ in range(3)], ['READY=1', 'STOPPING=1', 'STOPPING=1'])

    async def test_commands_are_read_from_stdin(self):
        daemon = Wsd('--control-stdin')
        self.processes.append(daemon)
        self.addAsyncCleanup(daemon.clean_up)
        await daemon.start(stdin=subprocess.PIPE)
        connection = await self.connect(daemon.url)
        daemon.process.stdin.write(b'broadcast hello there\nnonsense\nstop\n')
        await daemon.process.stdin.drain()
        self.assertEqual(await self.within(connection.recv()), 'hello there')
        self.assertEqual(await daemon.exit_code(), 0)
        await daemon.line('^error usage .*nonsense', 'stdout')
        await daemon.line('^ok$', 'stdout', count=2)

    async def test_without_a_spool_it_serves_too(self):
        daemon = await self.wsd('--spool', '', spool=False)
        connection = await self.connect(daemon.url)
        await connection.send('hello')
        self.assertEqual(await self.within(connection.recv()), 'hello')
        self.assertEqual(await daemon.stop(), 0)


class Logs(SystemTest):
    async def test_one_line_at_the_end_of_a_connection(self):
        daemon = await self.wsd('--handler', 'chat=broadcast')
        connection = await self.connect(daemon.url, subprotocols=['chat'])
        await connection.send('12345')
        await connection.close(4001, 'bye')
        line = (await daemon.line('connection ended.*', 'stderr'))[0]
        for part in [r'id=\d+-\d+-\d+ ', r'peer=127\.0\.0\.1:\d+ ', 'subprotocol=chat ', 'handler=broadcast ',
                     r'duration=\d+\.\d{3} ', r'bytes_in=[1-9]\d* ', r'bytes_out=[1-9]\d* ', 'messages_in=1 ',
                     'messages_out=0 ', 'code=4001 ', 'reason=bye$']:
            self.assertRegex(line, part)

    async def test_who_connected_is_shown_at_level_debug(self):
        daemon = await self.wsd('--handler', 'chat=broadcast', '--log-level', 'debug')
        origin = 'http://{}:{}'.format(*daemon.address)
        await self.connect(daemon.url + '/rooms/5', subprotocols=['news', 'chat'], origin=origin,
                           extra_headers={'User-Agent': 'Browser/1.0 (test)'})
        await daemon.line(rf'debug +connection opened id=\S+ peer=127\.0\.0\.1:\d+ target=/rooms/5 origin={origin} '
                          r'asked="news, chat" subprotocol=chat handler=broadcast agent="Browser/1\.0 \(test\)"$', 'stderr')
        await daemon.ctl('status')
        await daemon.line(r'debug .*status', 'stderr')

    async def test_control_frames_are_shown_at_level_debug(self):
        daemon = await self.wsd('--log-level', 'debug')
        connection = await self.connect(daemon.url)
        await self.within(await connection.ping(b'hello'))
        await daemon.ctl('ping', '--all')
        await daemon.line(r'debug +Ping received id=\S+ bytes=5$', 'stderr')
        await daemon.line(r'debug +Pong received id=\S+ bytes=8$', 'stderr')
        await connection.close(4001, 'bye')
        id = (await daemon.line(r'debug +Close frame received id=(\S+) code=4001 reason=bye$', 'stderr'))[1]
        await daemon.line(rf'debug +Close frame sent id={id} code=4001$', 'stderr')
        await daemon.line(rf'info +connection ended id={id} ', 'stderr')

    async def test_equal_refusals_are_one_line_and_a_sum(self):
        daemon = await self.wsd()
        for _ in range(20):
            self.assertEqual((await asyncio.to_thread(http, daemon, '/.env'))[0], 426)
        status, = await daemon.ctl_json('status')
        self.assertEqual(status['refusals'], {'426': 20})
        self.assertEqual(await daemon.stop(), 0)
        refusals = [line for line in daemon.text('stderr').splitlines() if 'refused' in line]
        self.assertEqual(len(refusals), 2, refusals)
        self.assertIn(' opening handshake refused ', refusals[0])
        self.assertIn(' target=/.env ', refusals[0])
        self.assertIn(' more opening handshakes refused peer=127.0.0.1 count=19 seconds=10 cause=', refusals[1])

    async def test_in_the_journal_lines_have_a_priority_and_no_time(self):
        script = 'export JOURNAL_STREAM=$(stat -Lc %d:%i /dev/stderr); exec "$@"'
        daemon = await self.wsd('--log-level', 'debug', wrapper=['sh', '-c', script, 'sh'])
        await daemon.line('^<6>started version=', 'stderr')
        await asyncio.to_thread(http, daemon, '/healthz')
        await daemon.line('^<7>connection ended before it was open ', 'stderr')
        (daemon.folder / 'empty.toml').write_text('wrong = 1')
        await daemon.run_ctl('reload')
        await daemon.line('^<3>the new configuration is invalid', 'stderr')
        self.assertEqual(await daemon.starts_and_ends(), 78)
        await daemon.line('^<3>wsd: .*wrong: unknown key', 'stderr')

        inherited = await self.wsd(wrapper=['env', 'JOURNAL_STREAM=1:1'])
        await inherited.line(r'^\d{4}-\d\d-\d\dT\S+ info    started version=', 'stderr')

    async def test_json_is_one_object_a_line(self):
        daemon = await self.wsd('--log-format', 'json', '--log-level', 'debug')
        connection = await self.connect(daemon.url)
        await connection.close(1000, 'it is "done"\\')
        await daemon.line('connection ended', 'stderr')
        self.assertEqual(await daemon.stop(), 0)
        events = [json.loads(line) for line in daemon.text('stderr').splitlines()]
        end, = [event for event in events if event['message'] == 'connection ended']
        self.assertEqual((end['level'], end['code'], end['reason']), ('info', 1000, 'it is "done"\\'))
        self.assertIn('stopped', [event['message'] for event in events])

    async def test_a_client_cannot_forge_lines(self):
        for log_format in ('text', 'json'):
            with self.subTest(log_format):
                daemon = await self.wsd('--log-format', log_format, '--log-level', 'debug')

                def attack():
                    with Peer(daemon.address) as peer:
                        peer.upgrade()
                        evil = 'x\n2026-01-01T00:00:00 error forged\r\x1b[2J\u009b1m\u202e'.encode()
                        peer.send(frame(CLOSE, b'\x0f\xa1' + evil))
                        peer.ended()
                    with Peer(daemon.address) as peer:
                        peer.send(b'GET /\x1b[31m\x7f HTTP/1.1\r\nHost: \xff\x1b]0;x\x07\r\n\r\n')
                        peer.ended()
                await asyncio.to_thread(attack)
                await daemon.line('connection ended', 'stderr')
                await daemon.line('refused', 'stderr')
                self.assertEqual(await daemon.stop(), 0)
                text = daemon.text('stderr')
                self.assertNotRegex(text, '[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]')
                self.assertFalse([line for line in text.splitlines() if line.startswith('2026-01-01T00:00:00')])

    async def test_the_log_goes_to_a_file_and_survives_a_full_disk(self):
        file = self.folder() / 'wsd.log'
        daemon = await self.wsd('--log-file', file)
        self.assertEqual(await daemon.stop(), 0)
        self.assertIn('stopped', file.read_text())
        self.assertEqual(daemon.text('stderr'), '')
        self.assertEqual(stat.S_IMODE(file.stat().st_mode) & 0o007, 0)

        full = await self.wsd('--log-file', '/dev/full')
        connection = await self.connect(full.url)
        await connection.send('hello')
        self.assertEqual(await self.within(connection.recv()), 'hello')
        status, = await full.ctl_json('status')
        self.assertGreater(status['counters']['log_lines_lost'], 0)
        self.assertEqual(await full.stop(), 0)

    async def test_the_level_can_be_changed(self):
        daemon = await self.wsd()
        await asyncio.to_thread(http, daemon, '/healthz')
        await daemon.ctl('log-level', 'debug')
        await asyncio.to_thread(http, daemon, '/healthz')
        await daemon.line('debug .*answered a plain HTTP request', 'stderr')
        self.assertEqual(daemon.text('stderr').count('answered a plain HTTP request'), 1)


class Asked(SystemTest):
    """wsd as a command that answers and exits."""

    async def run_wsd(self, *words, **environment):
        child = Process(program('WSD'), *words, env={**Wsd().env, **environment})
        self.addAsyncCleanup(child.kill)
        await child.start()
        return await child.exit_code(), child.text('stdout'), child.text('stderr')

    async def test_help_and_version(self):
        code, out, err = await self.run_wsd('--help')
        self.assertEqual((code, err), (0, ''))
        for part in ['wsd --demo', '--listen', '--handler', '--spool', 'WSD_MAX_MESSAGE', '78']:
            self.assertIn(part, out)
        code, out, err = await self.run_wsd('--version')
        self.assertEqual((code, err), (0, ''))
        self.assertRegex(out, r'^wsd \d+\.\d+\.\d+$')

    async def test_a_full_disk_is_reported(self):
        full = 'exec "$0" "$@" >/dev/full'
        for words in (['--help'], ['--version'], ['--check-config'], ['--print-config']):
            child = await self.process('sh', '-c', full, program('WSD'), *words, env=Wsd().env)
            self.assertEqual(await child.exit_code(), 1, child.text())
            await child.line('standard output cannot be written: No space left', 'stderr')
        child = await self.process('sh', '-c', full + ' 2>&1', program('WSD'), '--bogus', env=Wsd().env)
        self.assertEqual(await child.exit_code(), 2)

    async def test_print_config_shows_where_each_value_was_set(self):
        path = self.folder() / 'wsd.toml'
        path.write_text('# mine\ngrace = "7s"\n[handlers]\nchat = "broadcast"\n')
        code, out, err = await self.run_wsd('--print-config', '--config', path, '--workers', '3', WSD_IO_THREADS='2')
        self.assertEqual((code, err), (0, ''))
        for line in [f'grace = "7s"  # {path}:2', 'workers = 3  # --workers', 'io_threads = 2  # WSD_IO_THREADS',
                     f'"chat" = "broadcast"  # {path}:4', 'max_message = "16MiB"  # default']:
            self.assertIn(line, out.splitlines())
        path.write_text(out)
        code, again, err = await self.run_wsd('--print-config', '--config', path)
        self.assertEqual((code, err), (0, ''))
        self.assertIn(f'grace = "7s"  # {path}:', again)

    async def test_an_unknown_variable_is_a_warning(self):
        code, out, err = await self.run_wsd('--check-config', WSD_LISTN=':1')
        self.assertEqual(code, 0)
        self.assertIn('did you mean WSD_LISTEN?', err)

    async def test_all_errors_are_reported_together(self):
        path = self.folder() / 'wsd.toml'
        path.write_text('lisen = ":1"\nworkers = "x"\n[limits]\nping_interval = 25\n')
        code, out, err = await self.run_wsd('--check-config', '--config', path, WSD_GRACE='soon')
        self.assertEqual((code, out), (78, ''))
        lines = err.splitlines()
        self.assertEqual(len(lines), 4, err)
        for place, what in [(f'{path}:1:1', 'did you mean listen?'), (f'{path}:2:11', 'workers'),
                            (f'{path}:4:17', 'has no unit'), ('WSD_GRACE', 'soon')]:
            self.assertEqual(len([line for line in lines if place in line and what in line]), 1, err)

    async def test_a_port_in_use_and_how_to_find_the_process(self):
        with socket.create_server(('127.0.0.1', 0)) as taken:
            address = '127.0.0.1:%d' % taken.getsockname()[1]
            code, out, err = await self.run_wsd('--listen', address, '--spool', '', '--pid-file', '')
        self.assertEqual((code, out), (1, ''))
        for part in [address, 'in use', 'ss -ltnp']:
            self.assertIn(part, err)

    async def test_wsd_accepts_the_words_of_wsd_ctl(self):
        daemon = await self.wsd()
        connection = await self.connect(daemon.url)
        code, out, err = await self.run_wsd('--spool', daemon.spool, 'broadcast', 'hello')
        self.assertEqual((code, err), (0, ''))
        self.assertEqual(await self.within(connection.recv()), 'hello')
        code, out, err = await self.run_wsd('status', '--json', WSD_SPOOL=str(daemon.spool))
        self.assertEqual((code, err, json.loads(out)['pid']), (0, '', daemon.pid))
        code, out, err = await self.run_wsd('brodcast', 'x', WSD_SPOOL=str(daemon.spool))
        self.assertEqual(code, 2)
        self.assertIn('broadcast', err)
        code, out, err = await self.run_wsd('--spool', self.folder(), 'status')
        self.assertEqual(code, 3, err)

    async def test_a_command_to_a_wsd_without_a_spool_reaches_no_other_wsd(self):
        path = self.folder() / 'wsd.toml'
        path.write_text('[spool]\ndir = ""\n')
        for words in (['--config', path, 'status'], ['--spool', '', 'status'], ['--spool=', 'status']):
            code, out, err = await self.run_wsd(*words)
            self.assertEqual((code, out), (3, ''), err)
            self.assertIn('this wsd has no spool', err)


if __name__ == '__main__':
    main()
