"""Handlers in Python, with the module that wsd installs: a chat, the opening handshake, commands, a crash, a reload."""
import os
import pathlib
import shutil
import signal

from harness import SystemTest, main

CONTRIB = pathlib.Path(__file__).parents[2] / 'contrib' / 'handlers' / 'python'

CHAT = '''#!/usr/bin/python3
import os, wsd_handler

class Chat(wsd_handler.Handler):
    def on_upgrade(self, environment):
        name = environment.get('HTTP_COOKIE', '').removeprefix('name=')
        if not name:
            return {'status': 401, 'body': 'log in first'}
        return {'user': name, 'headers': {'X-Greeting': 'hello'}}

    def on_open(self, connection):
        connection.data = [connection.environment['REMOTE_USER'], 0]
        connection.join('hall')

    def on_text(self, connection, text):
        connection.data[1] += 1
        if text == 'cookie':
            return connection.send(connection.environment['HTTP_COOKIE'] + ' ' + connection.environment['PATH_INFO'])
        if text == 'pid':
            return connection.send(str(os.getpid()))
        if text == 'later':
            return connection.after(0.05, 'bell')
        connection.publish('VERSION %s: %s %d' % (connection.data[0], text, connection.data[1]), room='hall')

    def on_timer(self, connection, name):
        connection.send(name)

    def on_leave(self, connection):
        return str(connection.data[1])

    def on_again(self, connection, state):
        self.on_open(connection)
        connection.data[1] = int(state or 0)

    def on_command(self, words, payload):
        if words[0] == 'tell':
            self.send_to_user(words[1], payload.decode() or ' '.join(words[2:]))
            return 'told\\n'
        raise ValueError('no such word')

wsd_handler.run(Chat())
'''


class Scripts(SystemTest):
    def install(self, version):
        self.place = getattr(self, 'place', None) or self.folder()
        shutil.copy(CONTRIB / 'wsd_handler.py', self.place)
        fresh = self.place / 'fresh'
        fresh.write_text(CHAT.replace('VERSION', str(version)))
        fresh.chmod(0o755)
        fresh.rename(self.place / 'chat.py')
        return self.place / 'chat.py'

    async def enter(self, daemon, name, path=''):
        return await self.connect(f'{daemon.url.rstrip("/")}/{path}', subprotocols=['chat'], extra_headers={'Cookie': f'name={name}'})

    async def ask(self, client, text):
        await client.send(text)
        return await self.within(client.recv())

    async def test_a_chat_in_python(self):
        daemon = await self.wsd('--handler', f'chat={self.install(1)}')
        with self.assertRaises(Exception) as refused:
            await self.connect(daemon.url, subprotocols=['chat'])
        self.assertEqual(refused.exception.status_code, 401)
        ann, bob = await self.enter(daemon, 'ann', 'a%20b?c=d'), await self.enter(daemon, 'bob')
        self.assertEqual(ann.response_headers['X-Greeting'], 'hello')
        self.assertEqual(await self.ask(ann, 'cookie'), 'name=ann /a b')
        await ann.send('hi')
        self.assertEqual(await self.within(bob.recv()), '1 ann: hi 2')
        self.assertEqual(await self.ask(bob, 'later'), 'bell')

        self.assertEqual(await daemon.ctl('call', 'chat', 'tell', 'ann', 'you', 'there'), 'told\n')
        self.assertEqual(await self.within(ann.recv()), 'you there')
        code, _, error = await daemon.run_ctl('call', 'chat', 'shout')
        self.assertEqual((code, 'no such word' in error), (1, True))

        # A crash: the connections stay, and the next process knows them.
        os.kill(int(await self.ask(ann, 'pid')), signal.SIGKILL)
        await daemon.line('ended by signal 9')
        await ann.send('still here')
        self.assertEqual(await self.within(bob.recv()), '1 ann: still here 1')

        # Newer code, which gets what the old process knows.
        self.install(2)
        self.assertIn('serves with its new code', await daemon.ctl('handler', 'reload', 'chat'))
        await ann.send('new')
        self.assertEqual(await self.within(bob.recv()), '2 ann: new 2')

        # Code that does not start.
        (self.place / 'chat.py').write_text('#!/usr/bin/python3\nraise SystemExit(5)\n')
        code, _, error = await daemon.run_ctl('handler', 'reload', 'chat')
        self.assertEqual((code, 'exit code 5' in error), (1, True), error)
        await ann.send('old')
        self.assertEqual(await self.within(bob.recv()), '2 ann: old 3')

    async def test_a_program_that_cannot_run(self):
        path = self.install(1)
        daemon = await self.wsd()
        for mode, content, expected in ((0o644, CHAT, 'chmod +x'), (0o755, '#!/no/such/interpreter\n', 'cannot be started'),
                                        (0o777, CHAT, 'world-writable')):
            path.write_text(content)
            path.chmod(mode)
            code, _, error = await daemon.run_ctl('handler', 'load', 'chat', path)
            self.assertEqual((code, expected in error), (1, True), error)

    async def test_wsd_ends_with_a_script_that_hangs(self):
        path = self.install(1)
        path.write_text('#!/usr/bin/python3\nimport sys, time\nprint("ready 0", flush=True)\n'
                        'signal = __import__("signal"); signal.signal(signal.SIGTERM, signal.SIG_IGN)\n'
                        'while True: time.sleep(100)\n')
        daemon = await self.wsd('--handler', f'chat={path}', '--grace', '1s')
        client = await self.connect(daemon.url, subprotocols=['chat'])
        await client.send('x')
        self.assertEqual(await self.within(daemon.stop()), 0)


if __name__ == '__main__':
    main()
