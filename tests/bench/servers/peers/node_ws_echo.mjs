// An echo server on Node's ws for the comparison. Uses the package of the system tests.
import { createRequire } from 'node:module';

const { WebSocketServer } = createRequire(new URL('../../system/package.json', import.meta.url))('ws');
const server = new WebSocketServer({host: '127.0.0.1', port: 0, perMessageDeflate: false, backlog: 4096});

server.on('connection', peer => {
  peer.on('message', (data, binary) => peer.send(data, {binary}));
  peer.on('error', () => peer.terminate());
});
server.on('listening', () => console.log(`listening on ws://127.0.0.1:${server.address().port}`));
