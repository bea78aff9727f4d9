// A server for the tests of our client: Node's ws on a free port, which it prints. The path selects what it does:
// /echo; /greet sends three messages and closes with 1000; /close/CODE; /cut ends without a Close frame.
import { createServer } from 'node:http';
import { need } from './harness.mjs';

const { WebSocketServer } = need('ws');
const http = createServer((request, response) => response.writeHead(404).end('nothing here\n'));
const server = new WebSocketServer({noServer: true, handleProtocols: offered => offered.has('chat') && 'chat'});

http.on('upgrade', (request, socket, head) => {
  socket.on('error', () => {});  // a client may close at any time, even before it has read the refusal
  if (request.url === '/secret' && request.headers.authorization !== 'Bearer sesame') {
    socket.end('HTTP/1.1 401 Unauthorized\r\nContent-Length: 10\r\nConnection: close\r\n\r\nno sesame\n');
    return;
  }
  server.handleUpgrade(request, socket, head, peer => {
    const [, what, argument] = request.url.split('/');
    if (what === 'close') {
      peer.close(Number(argument), 'as asked');
    } else if (what === 'cut') {
      socket.destroy();
    } else if (what === 'greet') {
      for (const text of ['one', 'two', 'three']) peer.send(text);
      peer.close(1000);
    } else if (what === 'headers') {
      peer.send(JSON.stringify({origin: request.headers.origin, extra: request.headers['x-extra'], protocol: peer.protocol}));
    } else {
      peer.on('message', (data, binary) => peer.send(data, {binary}));
    }
  });
});
http.listen(0, '127.0.0.1', () => console.log(`ws://127.0.0.1:${http.address().port}`));
