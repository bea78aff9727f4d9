// wsd serves a client of another project: Node's ws.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { main, need, within } from './harness.mjs';

const WebSocket = need('ws');

/// An open connection whose messages wait in a queue.
async function connect(url, protocols = [], options = {}) {
  const socket = new WebSocket(url, protocols, {perMessageDeflate: true, ...options});
  const messages = [], waiting = [];
  socket.on('message', (data, binary) => {
    const message = binary ? data : data.toString();
    if (waiting.length) waiting.shift()(message); else messages.push(message);
  });
  socket.receive = () => within(messages.length ? Promise.resolve(messages.shift())
                                                : new Promise(resolve => waiting.push(resolve)), 'a message');
  await within(once(socket, 'open'), `a connection to ${url}`);
  return socket;
}

async function closed(socket) {
  const [code, reason] = await within(once(socket, 'close'), 'the connection to close');
  return [code, reason.toString()];
}

await main({
  async 'text and binary are echoed unchanged'(start) {
    const socket = await connect((await start()).url);
    for (const message of ['', 'hello', 'Grüße, 世界 🌍', 'x'.repeat(126), 'x'.repeat(65536),
                           Buffer.alloc(0), Buffer.from([0, 255]), randomBytes(70000)]) {
      socket.send(message);
      assert.deepEqual(await socket.receive(), message);
    }
  },

  async 'a large message is echoed'(start) {
    const socket = await connect((await start()).url, [], {maxPayload: 0});
    const message = randomBytes(16 << 20);
    socket.send(message);
    assert.ok(message.equals(await socket.receive()));
  },

  async 'a message over the limit is closed with 1009'(start) {
    const socket = await connect((await start('--max-message', '1KiB')).url);
    socket.send('x'.repeat(1025));
    assert.equal((await closed(socket))[0], 1009);
  },

  async 'fragments with a ping between them are echoed as one message'(start) {
    const socket = await connect((await start()).url);
    socket.send('one ', {fin: false});
    socket.ping('between');
    socket.send('two ', {fin: false});
    socket.send('three', {fin: true});
    const [pong] = await within(once(socket, 'pong'), 'the pong');
    assert.equal(pong.toString(), 'between');
    assert.equal(await socket.receive(), 'one two three');
  },

  async 'close codes work in both directions'(start) {
    const daemon = await start();
    for (const code of [1000, 3000, 4999]) {
      const socket = await connect(daemon.url);
      socket.close(code, 'as you like');
      assert.deepEqual(await closed(socket), [code, '']);   // the server echoes the code, without a reason
    }
    const socket = await connect(daemon.url);
    const ended = closed(socket);
    await daemon.ctl('close', '--all', '--code', '4002', '--reason', 'all of you');
    assert.deepEqual(await ended, [4002, 'all of you']);
  },

  async 'the subprotocol is chosen, an unknown one declined'(start) {
    const daemon = await start('--handler', 'chat=broadcast');
    assert.equal((await connect(daemon.url, ['other', 'chat'])).protocol, 'chat');
    // declined: no Sec-WebSocket-Protocol in the response, which ws reports as an error (RFC 6455 §4.1 allows that)
    const declined = new WebSocket(daemon.url, ['other']);
    const [error] = await within(once(declined, 'error'), 'the error');
    assert.match(error.message, /no subprotocol/i);
    const strict = new WebSocket((await start('--handler', 'chat=broadcast', '--strict-subprotocol')).url, ['other']);
    const [refusal] = await within(once(strict, 'error'), 'the refusal');
    assert.match(refusal.message, /400/);
  },

  async 'compression is declined'(start) {
    const socket = await connect((await start()).url);
    assert.equal(socket.extensions, '');
  },

  async 'a broadcast reaches all others'(start) {
    const daemon = await start('--handler', 'chat=broadcast');
    const [a, b, c] = [await connect(daemon.url, ['chat']), await connect(daemon.url, ['chat']), await connect(daemon.url, ['chat'])];
    a.send('from a');
    assert.equal(await b.receive(), 'from a');
    assert.equal(await c.receive(), 'from a');
    b.send('from b');
    assert.equal(await a.receive(), 'from b');
    await daemon.ctl('broadcast', 'from the shell');
    for (const socket of [a, b]) assert.equal(await socket.receive(), 'from the shell');
  },

  async 'over a Unix socket'(start) {
    const file = path.join(tmpdir(), `wsd-test-${process.pid}.sock`);
    const daemon = await start('--listen', `unix:${file}`);
    const socket = await connect(`ws+unix:${file}:/`);
    socket.send('through a file');
    assert.equal(await socket.receive(), 'through a file');
    assert.equal(await daemon.stop(), 0);
  },

  async 'stop closes with 1001 and exits with 0'(start) {
    const daemon = await start();
    const ended = (await Promise.all([1, 2, 3].map(() => connect(daemon.url)))).map(closed);
    assert.equal(await daemon.stop(), 0);
    for (const [code] of await Promise.all(ended)) assert.equal(code, 1001);
  },
});
