"""Messages that are sent back while they arrive, with a client of another project: Python's websockets."""
import asyncio
import os

from harness import Process, SystemTest, main, program, websockets

ws = websockets()


class Pieces(SystemTest):
    async def mirror(self):
        server = Process(program('HTTP_SERVER'))
        self.addAsyncCleanup(server.kill)
        await server.start(stdin=asyncio.subprocess.PIPE)
        url = (await server.line(r'ws://\S+')).group()
        return await self.connect(url, subprotocols=['mirror'], max_size=None)

    async def test_messages_come_back_unchanged(self):
        client = await self.mirror()
        for message in ['', 'hello', 'Grüße, 世界 🌍', 'x' * 125, 'x' * 126, 'ü' * 70_000, b'', b'\x00\xff' * 63]:
            await client.send(message)
            self.assertEqual(await self.within(client.recv()), message)

    async def test_a_large_message_comes_back_while_it_is_sent(self):
        client = await self.mirror()
        message = os.urandom(16 << 20)
        received = asyncio.create_task(client.recv())
        await self.within(client.send(message))
        self.assertEqual(await self.within(received), message)

    async def test_pings_are_answered_within_a_message(self):
        client = await self.mirror()

        async def pieces():
            for piece in ['frag', 'ments ', '', 'of \u00fc', 'ber']:
                yield piece
                await self.within(await client.ping())

        await self.within(client.send(pieces()))
        self.assertEqual(await self.within(client.recv()), 'fragments of \u00fcber')

    async def test_the_client_may_close_within_a_message(self):
        client = await self.mirror()

        async def pieces():
            yield 'begun'
            await self.within(await client.ping())
            await client.close(1000, 'enough')
            yield 'too late'

        with self.assertRaises((ws.exceptions.ConnectionClosed, ws.exceptions.InvalidState)):
            await self.within(client.send(pieces()))
        self.assertEqual(client.close_code, 1000)


if __name__ == '__main__':
    main()
