"""A shared object decides who comes in, with real clients: a raw one, and Python's websockets."""
import asyncio

from harness import SystemTest, main, program, websockets
from raw import Peer, request

ws = websockets()

DOORMAN = program('DOORMAN')


class Door(SystemTest):
    async def begin(self, *flags):
        return await self.wsd('--handler', f'chat={DOORMAN}', *flags)

    async def answer(self, daemon, path='/', **fields):
        """(status, fields, body) of the response to an opening handshake for the subprotocol `chat`."""
        def script():
            with Peer(daemon.address) as peer:
                peer.send(request(path=path, Sec_WebSocket_Protocol='chat', **fields))
                status, answer = peer.head()
                return status, answer, peer.body(answer)
        return await self.within(asyncio.to_thread(script))

    async def test_a_client_without_the_cookie_gets_the_response_of_the_handler(self):
        daemon = await self.begin()
        status, fields, body = await self.answer(daemon)
        self.assertEqual((status, fields['www-authenticate'], body), (401, 'bearer', b'log in first\n'))
        await daemon.line('opening handshake refused .*401')

    async def test_a_client_with_the_cookie_is_served(self):
        daemon = await self.begin()
        client = await self.connect(daemon.url, subprotocols=['chat'], extra_headers={'Cookie': 'sid=5'})
        self.assertEqual(client.response_headers['Set-Cookie'], 'seen=1')
        await client.send('hello')
        self.assertEqual(await self.within(client.recv()), 'hello')

    async def test_a_handler_that_fails_refuses_one_client(self):
        daemon = await self.begin()
        status, *_ = await self.answer(daemon, '/?fail=no%20database', Cookie='sid=5')
        self.assertEqual(status, 500)
        await daemon.line('on_upgrade failed for .*no database')
        status, *_ = await self.answer(daemon, Cookie='sid=5')
        self.assertEqual(status, 101)

    async def test_a_handler_that_hangs_refuses_its_client_with_503_and_the_others_are_served(self):
        daemon = await self.begin('--handshake-timeout', '300ms', '--grace', '100ms')
        status, *_ = await self.answer(daemon, '/?hang', Cookie='sid=5')
        self.assertEqual(status, 503)
        echo = await self.connect(daemon.url)
        await echo.send('still there?')
        self.assertEqual(await self.within(echo.recv()), 'still there?')
        state, = await daemon.ctl_json('status')
        self.assertIn('doorman', [worker['handler'] for worker in state['workers']])
        await daemon.stop()


if __name__ == '__main__':
    main()
