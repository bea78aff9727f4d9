// Chromium and Node's ws at a server that decides who comes in: a cookie, a refusal, rooms by path, routes, events.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { main, need, patience, program, skip, within } from './harness.mjs';

const { chromium } = need('playwright-core');
const WebSocket = need('ws');
const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
if (!existsSync(executablePath)) skip(`${executablePath} is missing (Debian: chromium)`);

const server = spawn(program('HTTP_SERVER'), [], {stdio: ['pipe', 'pipe', 'inherit']});
process.on('exit', () => server.kill('SIGKILL'));
const [line] = await within(once(server.stdout.setEncoding('utf8'), 'data'), 'the server to listen');
const url = line.match(/listening on (ws:\S+)/)[1].replace(/\/$/, '');
const page_url = url.replace('ws:', 'http:');

const browser = await chromium.launch({executablePath, timeout: patience, args: [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync']});

/// A window of its own, with its own cookies, that shows the server's page.
async function open() {
  const context = await browser.newContext();
  context.setDefaultTimeout(patience);
  const page = await context.newPage();
  assert.equal((await page.goto(`${page_url}/`)).status(), 200);
  await page.evaluate(() => {
    /// Connects. Resolves to the state of the connection, which `next` takes messages from.
    window.connect = path => new Promise(resolve => {
      const messages = [], waiting = [];
      window.socket = new WebSocket(location.origin.replace('http', 'ws') + path);
      window.next = () => new Promise(give => messages.length ? give(messages.shift()) : waiting.push(give));
      socket.onmessage = ({data}) => waiting.length ? waiting.shift()(data) : messages.push(data);
      socket.onopen = () => resolve('open');
      socket.onclose = ({code}) => resolve(`closed ${code}`);
    });
    window.login = user => fetch(`/login?user=${encodeURIComponent(user)}`, {method: 'POST'}).then(answer => answer.status);
  });
  return page;
}

/// Connects with Node's ws. Resolves to the first message, or to the response that refuses.
function ask(path, headers = {}) {
  const socket = new WebSocket(url + path, {headers});
  return within(new Promise((resolve, reject) => {
    socket.on('error', reject);
    socket.on('upgrade', response => { socket.user = response.headers['x-user']; });
    socket.on('message', data => { resolve({message: data.toString(), user: socket.user}); socket.close(); });
    socket.on('unexpected-response', (request, response) => {
      let body = '';
      response.on('data', data => { body += data; });
      response.on('end', () => resolve({status: response.statusCode, fields: response.headers, body}));
    });
  }), path);
}

await main({
  async 'a browser is let in when it has logged in'() {
    const ann = await open(), bob = await open();
    assert.equal(await ann.evaluate(() => connect('/rooms/lobby')), 'closed 1006');
    assert.equal(await ann.evaluate(() => login('Änn')), 204);
    assert.equal(await bob.evaluate(() => login('Bob')), 204);
    for (const page of [ann, bob]) assert.equal(await page.evaluate(() => connect('/rooms/lobby')), 'open');
    assert.equal(await ann.evaluate(() => next()), 'welcome to lobby, Änn');
    assert.equal(await bob.evaluate(() => next()), 'welcome to lobby, Bob');
    await ann.evaluate(() => socket.send('hello'));
    assert.equal(await bob.evaluate(() => next()), 'Änn: hello');
    assert.equal(await bob.evaluate(() => connect('/rooms/a%2Fb')), 'open');
    assert.equal(await bob.evaluate(() => next()), 'welcome to a/b, Bob');
  },
  async 'a browser uses the routes of the same port'() {
    const page = await open();
    assert.deepEqual(await page.evaluate(async () => {
      const answer = await fetch('/echo', {method: 'POST', body: 'some text'});
      const missing = await fetch('/none'), wrong = await fetch('/hello', {method: 'DELETE'});
      return [await answer.text(), missing.status, wrong.status, wrong.headers.get('Allow')];
    }), ['some text', 404, 405, 'GET, HEAD, OPTIONS']);
    assert.deepEqual(await page.evaluate(() => new Promise((resolve, reject) => {
      const source = new EventSource('/events'), events = [];
      source.onerror = () => reject(new Error(`after ${events}`));
      source.onmessage = ({data}) => { if (events.push(data) === 3) { source.close(); resolve(events); } };
    })), ['1', '2', '3']);
  },
  async 'a client of Node sees the response that refuses it'() {
    const refused = await ask('/rooms/lobby');
    assert.equal(refused.status, 401);
    assert.equal(refused.fields['www-authenticate'], 'Cookie');
    assert.equal(refused.body, 'log in first\n');
    assert.deepEqual(await ask('/rooms/red', {Cookie: 'a=b; user=J%C3%B6rg'}),
                     {message: 'welcome to red, Jörg', user: 'J%C3%B6rg'});
  },
  async 'the server ends'() {
    await browser.close();
    server.stdin.end();
    const [code] = await within(once(server, 'close'), 'the server to end');
    assert.equal(code, 0);
  },
});
