#!/usr/bin/env python3
"""Runs an example and tests it with a client or server of another project.

usage: run.py NAME PROGRAM
"""

import asyncio
import http.client as http_client
import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request

PATIENCE = 60  # seconds until a test gives up waiting

try:
    import websockets
except ImportError:
    print("python3-websockets is missing", file=sys.stderr)
    sys.exit(1 if os.environ.get("WSSERVER_TEST_STRICT") else 77)


def check(got, wanted):
    assert got == wanted, f"got {got!r}, wanted {wanted!r}"


async def echo_server(url, _):
    async with websockets.connect(url) as client:
        for message in ("hi", b"\x00\xff"):
            await client.send(message)
            check(await client.recv(), message)


async def broadcast(url, _):
    async with websockets.connect(url, subprotocols=["chat"]) as one:
        async with websockets.connect(url, subprotocols=["chat"]) as other:
            name = "%s:%d" % other.local_address[:2]
            check(await one.recv(), f"{name} came")
            await other.send("hello")
            check(await one.recv(), "hello")
            await other.close(reason="lunch")
        check(await one.recv(), f"{name} went: lunch")


async def clock(url, process):
    async with websockets.connect(url) as client:
        assert (await client.recv()).endswith(" UTC")
        process.terminate()
        try:
            while True:
                await client.recv()
        except websockets.ConnectionClosed as end:
            check(end.code, 1001)
    check(await asyncio.to_thread(process.wait), 0)


async def slow_work(url, _):
    async with websockets.connect(url) as client:
        for number, factor in (("91", "13"), ("1000003", "1000003"), ("many", "0")):
            await client.send(number)
            check(await client.recv(), factor)


async def page(url, _):
    def get(path):
        try:
            with urllib.request.urlopen(url.replace("ws:", "http:") + path, timeout=PATIENCE) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, b""

    status, text = await asyncio.to_thread(get, "/")
    assert status == 200 and b"new WebSocket" in text, (status, text)
    check(await asyncio.to_thread(get, "/healthz"), (200, b"ok\n"))
    check((await asyncio.to_thread(get, "/elsewhere"))[0], 426)
    await echo_server(url, _)


def request(url, method, path, body=None, fields=None):
    """The status, the Allow field and the body of an HTTP response."""
    connection = http_client.HTTPConnection(url.removeprefix("ws://"), timeout=PATIENCE)
    try:
        connection.request(method, path, body, fields or {})
        response = connection.getresponse()
        assert response.getheader("Date"), "no Date"
        return response.status, response.getheader("Allow"), response.read()
    finally:
        connection.close()


async def ends_with(client, code):
    """Receives until the connection ends."""
    try:
        while True:
            await client.recv()
    except websockets.ConnectionClosed as end:
        check(end.code, code)


async def stops(process, *clients):
    process.terminate()
    for client in clients:
        await ends_with(client, 1001)
    check(await asyncio.to_thread(process.wait), 0)


async def rooms(url, _):
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
               "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    for query in ("", "?token=pear"):
        check(await asyncio.to_thread(request, url, "GET", f"/rooms/red{query}", None, upgrade),
              (401, None, b"no valid token\n"))
    async with websockets.connect(f"{url}/rooms/red?token=apple") as ann:
        async with websockets.connect(f"{url}/rooms/blue?token=cherry") as cid:
            async with websockets.connect(f"{url}/rooms/red?token=banana") as bob:
                check(await ann.recv(), "Bob came")
                await bob.send("hello")
                check(await ann.recv(), "Bob: hello")
                await ann.send("hi")
                check(await bob.recv(), "Ann: hi")
            check(await ann.recv(), "Bob went")
            async with websockets.connect(f"{url}/rooms/blue?token=apple"):
                check(await cid.recv(), "Ann came")  # the first message to it


async def game(url, process):
    async def until(player, wanted):
        while sorted((await player.recv()).split()) != sorted(wanted):
            pass

    async with websockets.connect(f"{url}/arenas/forest") as one, websockets.connect(f"{url}/arenas/forest") as two:
        async with websockets.connect(f"{url}/arenas/desert") as other:
            await one.send("right")
            await one.send("right")
            await two.send("left")
            await until(two, ["2", "-1"])
            await until(other, ["0"])
            await one.send("fly")
            await ends_with(one, 4000)
            await until(two, ["-1"])
            await stops(process, two, other)


async def http(url, _):
    async with websockets.connect(f"{url}/channels/news") as news:
        async with websockets.connect(f"{url}/channels/sports") as sports:
            def ask(method, path, body=None):
                return asyncio.to_thread(request, url, method, path, body)

            check(await ask("POST", "/channels/news", "hello"), (202, None, b""))
            check(await ask("POST", "/channels/sports", "goal"), (202, None, b""))
            check((await news.recv(), await sports.recv()), ("hello", "goal"))
            check(await ask("GET", "/channels/news"), (200, None, b"hello"))
            check((await ask("POST", "/channels/news", b"\xff"))[0], 400)
            check((await ask("DELETE", "/channels/news"))[:2], (405, "GET, HEAD, OPTIONS, POST"))
            check((await ask("GET", "/elsewhere"))[0], 404)
            status, _, text = await ask("GET", "/metrics")
            assert status == 200 and b"messages_out_total 2\n" in text, text


async def database(url, process):
    async with websockets.connect(url) as one, websockets.connect(url) as two, websockets.connect(url) as three:
        for client in (one, two):
            await client.send("60000")
        await three.send("1")  # waits for a connection of the database
        check([await client.recv() for client in (one, two)], ["too late"] * 2)
        assert await three.recv() in ("done", "too late")
        await three.send("1")
        check(await three.recv(), "done")
        await one.send("60000")
        await (await one.ping())
        await stops(process, one, two, three)


async def threads(url, process):
    async def hears_all(client):
        wanted = {f"from thread {i}" for i in range(1, 9)}
        while wanted:
            wanted.discard(await client.recv())

    async with websockets.connect(url) as stays:
        for _ in range(5):
            async with websockets.connect(url) as leaves, websockets.connect(url) as crashes:
                await asyncio.gather(hears_all(leaves), hears_all(crashes))
                crashes.transport.abort()
        await hears_all(stays)
        await stops(process, stays)
    sent, missed = re.fullmatch(r"(\d+) sent, (\d+) missed\n", process.stdout.read()).groups()
    assert int(sent) >= 88 and int(missed) >= 1, (sent, missed)


async def relay(program):
    """The example relays to a server of the test."""

    async def echo(connection):
        async for message in connection:
            await connection.send(message)

    async with websockets.serve(echo, "127.0.0.1", 0) as upstream:
        port = upstream.sockets[0].getsockname()[1]
        await serve(echo_server, program, f"ws://127.0.0.1:{port}")


async def client(program):
    """The example sends hello, prints the reply and closes with 1000."""
    closed = asyncio.get_running_loop().create_future()

    async def answer(connection):
        await connection.send(f"you said {await connection.recv()}")
        await connection.wait_closed()
        closed.set_result(connection.close_code)

    async with websockets.serve(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        process = subprocess.Popen([program, f"ws://127.0.0.1:{port}/"], stdout=subprocess.PIPE, text=True)
        try:
            check((await asyncio.to_thread(process.stdout.readline)), "you said hello\n")
            check(await closed, 1000)
            check(await asyncio.to_thread(process.wait), 0)
        finally:
            process.kill()
            process.wait()


awaitable_client = client


async def rpc_client(program):
    """The example makes three calls at once, loses one answer and one connection, and goes on over the next."""
    connections = 0

    async def answer(connection):
        nonlocal connections
        connections += 1
        slow = None
        async for text in connection:
            call = json.loads(text)
            reply = json.dumps({"id": call["id"], "result": f"{call['method']} {connections}"}, separators=(",", ":"))
            if call["method"] == "slow":
                slow = reply  # after the call that was made later
            elif call["method"] == "fast":
                await connection.send(reply)
                if slow:
                    await connection.send(slow)
            elif call["method"] == "restart":
                return await connection.close(1012)

    async with websockets.serve(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        output = await asyncio.to_thread(subprocess.run, [program, f"ws://127.0.0.1:{port}/"], capture_output=True,
                                         text=True, timeout=PATIENCE, check=False)
        check((output.returncode, output.stdout.splitlines()), (0, [
            'slow: {"id":1,"result":"slow 1"}',
            'fast: {"id":2,"result":"fast 1"}',
            "lost: no answer",
            "restart: no answer",
            'fast: {"id":5,"result":"fast 2"}',
        ]))


async def serve(talk, program, *words):
    process = subprocess.Popen([program, "127.0.0.1:0", *words], stdout=subprocess.PIPE, text=True)
    try:
        url = (await asyncio.to_thread(process.stdout.readline)).strip()
        assert url.startswith("ws://127.0.0.1:"), url
        await talk(url, process)
    finally:
        process.kill()
        process.wait()


async def main(name, program):
    example = globals()[name.partition("_")[2]]
    talk = example(program) if name.endswith(("client", "relay")) else serve(example, program)
    await asyncio.wait_for(talk, PATIENCE)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
