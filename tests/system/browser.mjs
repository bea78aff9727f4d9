// The first steps of a new user: the chat page in two windows of a real browser, the shell, and scripts for the spool.
//
//   node browser.mjs                     the test
//   node browser.mjs --screenshot FILE   the README's picture
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { here, main, need, patience, run, skip } from './harness.mjs';

const { chromium } = need('playwright-core');
const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
if (!existsSync(executablePath)) skip(`${executablePath} is missing (Debian: chromium)`);

const browser = await chromium.launch({executablePath, timeout: patience, args: [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync']});

/// The page in a window of its own (own cookies, own storage), connected, with the name typed as a person does.
/// `same_browser_as`: in a further window of the browser of that page.
async function open(url, name, {same_browser_as, ...options} = {}) {
  const context = same_browser_as ? same_browser_as.context()
    : await browser.newContext({viewport: {width: 1280, height: 800}, locale: 'en-GB', ...options});
  context.setDefaultTimeout(patience);
  const page = await context.newPage();
  const problems = [];
  page.on('pageerror', error => problems.push(error.message));
  page.on('request', request => {   // no request for anything but the page itself
    if (request.url() !== url && !request.url().startsWith('data:')) problems.push(`asked for ${request.url()}`);
  });
  const answer = await page.goto(url);
  assert.equal(answer.status(), 200);
  assert.match(answer.headers()['content-type'], /^text\/html; *charset=utf-8$/i);
  await in_state(page, 'open');
  if (name) await rename(page, name);
  return Object.assign(page, {problems});
}

const in_state = (page, state) => page.waitForSelector(`html[data-state=${state}]`);

async function rename(page, name) {
  await page.click('#me');
  await page.fill('#name', name);
  await page.press('#name', 'Enter');
  await page.waitForSelector('#name-dialog', {state: 'hidden'});
}

async function say(page, text) {
  await page.fill('#text', text);
  await page.press('#text', 'Enter');
}

/// Waits for a message of that kind with exactly this text. Polls at intervals, not at each frame: a hidden window may
/// draw no frames.
async function shown(page, kind, text, name) {
  try {
    await page.waitForFunction(([kind, text, name]) => {
      const all = [...document.querySelectorAll(`[data-kind=${kind}]`)];
      return all.some(bubble => bubble.textContent === text && (name === undefined || bubble.dataset.name === name));
    }, [kind, text, name], {polling: 50});
  } catch (error) {
    const state = await page.evaluate(() => [document.documentElement.dataset.state, document.querySelector('#text').value,
      ...[...document.querySelectorAll('[data-kind]')].map(one => one.outerHTML)].join('\n'));
    throw new Error(`${error.message}\nwaited for ${kind} "${text}" of ${name}; the page has:\n${state}`);
  }
}

const count = (page, kind) => page.locator(`[data-kind=${kind}]`).count();

const tests = {
  async 'two windows chat'(start) {
    const daemon = await start('--demo');
    const ada = await open(daemon.page, 'Ada'), grace = await open(daemon.page, 'Grace');
    await say(ada, 'Is anybody here?');
    await shown(ada, 'own', 'Is anybody here?', 'Ada');
    await shown(grace, 'other', 'Is anybody here?', 'Ada');
    await say(grace, 'I am. <img src=x onerror=alert(1)>');
    await shown(ada, 'other', 'I am. <img src=x onerror=alert(1)>', 'Grace');   // as text
    await grace.fill('#text', 'two\nlines');   // typed with Shift+Enter
    await grace.click('#send');
    await shown(ada, 'other', 'two\nlines', 'Grace');
    assert.equal(await count(ada, 'own'), 1);
    assert.equal(await count(ada, 'other'), 2);
    assert.equal(await ada.locator('#log img').count(), 0);
    await ada.reload();
    await in_state(ada, 'open');
    assert.equal(await ada.textContent('#me .own-name'), 'Ada');   // remembered
    assert.deepEqual([...ada.problems, ...grace.problems], []);
  },

  async 'two windows of one browser have two names, and a chosen name is remembered'(start) {
    const daemon = await start('--demo');
    const first = await open(daemon.page), second = await open(daemon.page, undefined, {same_browser_as: first});
    const name_of = page => page.textContent('#me .own-name');
    const has_another_name = (page, ...taken) => page.waitForFunction(
      taken => !taken.includes(document.querySelector('#me .own-name').textContent), taken, {polling: 50});
    await has_another_name(second, await name_of(first));
    await rename(first, 'Ada');
    const third = await open(daemon.page, undefined, {same_browser_as: first});
    await has_another_name(third, 'Ada', await name_of(second));
    assert.equal(await name_of(first), 'Ada');
    const names = [await name_of(second), await name_of(third)];
    for (const page of [first, second, third]) {
      await page.reload();
      await in_state(page, 'open');
    }
    assert.deepEqual([await name_of(first), await name_of(second), await name_of(third)], ['Ada', ...names]);
    await say(third, 'hello, Ada');
    await shown(first, 'other', 'hello, Ada', names[1]);
    await first.close();
    const fourth = await open(daemon.page, undefined, {same_browser_as: second});
    assert.equal(await name_of(fourth), 'Ada');
    assert.deepEqual([...second.problems, ...third.problems, ...fourth.problems], []);
  },

  async 'a new name holds from the Enter on'(start) {
    const daemon = await start('--demo');
    const page = await open(daemon.page, 'Ada');
    const taken = await page.evaluate(() => {   // in one step: no frame is drawn in between
      document.querySelector('#me').click();
      document.querySelector('#name').value = ' Grace ';
      document.querySelector('#name-dialog form').requestSubmit();
      return document.querySelector('#me .own-name').textContent;
    });
    assert.equal(taken, 'Grace');
    await page.click('#me');
    await page.fill('#name', 'Nobody');
    await page.click('#name-cancel');
    await say(page, 'me still');
    await shown(page, 'own', 'me still', 'Grace');
    assert.deepEqual(page.problems, []);
  },

  async 'the page fits a phone'(start) {
    const daemon = await start('--demo');
    const page = await open(daemon.page, 'Ada', {viewport: {width: 360, height: 640}, hasTouch: true, isMobile: true});
    await say(page, 'a-word-without-any-place-where-a-line-could-end-'.repeat(8));
    await shown(page, 'own', 'a-word-without-any-place-where-a-line-could-end-'.repeat(8));
    const {wide, high, parts} = await page.evaluate(() => {
      const inside = one => {
        const {left, right, top, bottom} = document.querySelector(one).getBoundingClientRect();
        return left >= 0 && right <= innerWidth && top >= 0 && bottom <= innerHeight;
      };
      return {wide: document.documentElement.scrollWidth - innerWidth,
              high: document.documentElement.scrollHeight - innerHeight,
              parts: ['#me', '#text', '#send'].filter(one => !inside(one))};
    });
    assert.ok(wide <= 0, `${wide} px too wide`);
    assert.ok(high <= 0, `${high} px too high`);   // only the messages scroll
    assert.deepEqual(parts, []);
    assert.deepEqual(page.problems, []);
  },

  async 'messages of the shell and of scripts arrive in both windows'(start) {
    const daemon = await start('--demo');
    const pages = [await open(daemon.page), await open(daemon.page)];
    await daemon.ctl('broadcast', 'hello from the shell');
    for (const page of pages) await shown(page, 'announcement', 'hello from the shell');
    await daemon.ctl('broadcast', '--subprotocol', 'chat', '{"name": "cron", "text": "the backup is done"}');
    for (const page of pages) await shown(page, 'other', 'the backup is done', 'cron');
    for (const [interpreter, script, text] of [
      ['php', 'spool.php', 'Grüße von PHP'], ['perl', 'spool.pl', 'Grüße von Perl'],
      ['sh', 'spool.sh', 'Grüße von der Shell'], ['python3', 'spool.py', 'Grüße von Python']]) {
      const {code, err} = await run(interpreter, [path.join(here, script), daemon.spool, text]);
      assert.equal(code, 0, err);
      for (const page of pages) await shown(page, 'announcement', text);
    }
    for (const page of pages) assert.equal(await count(page, 'announcement'), 5);   // each exactly once
  },

  async 'the page reconnects after a restart and sends what was typed meanwhile'(start) {
    const daemon = await start('--demo');
    const ada = await open(daemon.page, 'Ada'), grace = await open(daemon.page, 'Grace');
    assert.equal(await daemon.stop(), 0);
    await in_state(ada, 'reconnecting');
    await in_state(grace, 'reconnecting');
    await say(ada, 'typed while wsd was away');
    await ada.waitForSelector('[data-delivery=waiting]');
    await daemon.start();
    await in_state(grace, 'open');
    await in_state(ada, 'open');
    await ada.waitForSelector('[data-delivery=sent][data-late]');
    // Grace may have reconnected after Ada's message was sent. A new connection does not receive it.
    await say(ada, 'and after');
    await shown(grace, 'other', 'and after', 'Ada');
  },

  async 'the page reconnects after kill -9, at once when asked'(start) {
    const daemon = await start('--demo');
    const page = await open(daemon.page);
    await daemon.stop('SIGKILL');
    await page.waitForSelector('#strip:not([hidden])');
    await daemon.start();
    await page.evaluate(() => dispatchEvent(new Event('online')));
    await in_state(page, 'open');
  },

  async 'a page that an operator closed stays closed until asked'(start) {
    const daemon = await start('--demo');
    const page = await open(daemon.page);
    await daemon.ctl('close', '--all', '--code', '1008', '--reason', 'closing time');
    await in_state(page, 'closed');
    assert.match(await page.textContent('#strip-text'), /closing time/);
    await page.click('#now');
    await in_state(page, 'open');
  },

  async 'a message over the limit is refused visibly and kept in the field'(start) {
    const daemon = await start('--demo');
    const page = await open(daemon.page);
    await say(page, 'x'.repeat(4001));
    assert.match(await page.textContent('#problem'), /at most 4000/);
    assert.equal(await count(page, 'own'), 0);
    await say(page, 'x'.repeat(4000));
    assert.equal(await count(page, 'own'), 1);
  },

  async 'new messages do not scroll a page that is scrolled up; a button shows the newest'(start) {
    const daemon = await start('--demo');
    const page = await open(daemon.page);
    for (let number = 0; number < 40; ++number) await daemon.ctl('broadcast', `line ${number}`);
    await shown(page, 'announcement', 'line 39');
    const place = await page.evaluate(() => { log.scrollTop = 50; return log.scrollTop; });
    await daemon.ctl('broadcast', 'one more');
    await page.waitForSelector('#newest:not([hidden])');
    assert.equal(await page.evaluate(() => log.scrollTop), place);
    await page.click('#newest');
    await page.waitForSelector('#newest', {state: 'hidden'});
    await page.waitForFunction(() => log.scrollHeight - log.scrollTop - log.clientHeight < 2, undefined, {polling: 50});
  },
};

/// The picture in the README: a short chat, a message from the shell, one from PHP.
async function screenshot(start, file) {
  const daemon = await start('--demo');
  const ada = await open(daemon.page, 'Ada Lovelace', {deviceScaleFactor: 2, viewport: {width: 1120, height: 700}});
  const grace = await open(daemon.page, 'Grace Hopper');
  await say(grace, 'Morning! Is the new build through?');
  await shown(ada, 'other', 'Morning! Is the new build through?');
  await say(ada, 'Ten minutes ago, on all three machines.');
  await say(ada, 'Nobody was disconnected 🎉');
  await shown(grace, 'other', 'Nobody was disconnected 🎉');
  await say(grace, 'Lovely. I’ll tell the others.');
  await shown(ada, 'other', 'Lovely. I’ll tell the others.');
  await daemon.ctl('broadcast', 'hello from the shell');
  await shown(ada, 'announcement', 'hello from the shell');
  await daemon.ctl('broadcast', '{"name": "PHP", "text": "And one from a PHP script: it moved a file into the spool."}');
  await shown(ada, 'other', 'And one from a PHP script: it moved a file into the spool.');
  await ada.evaluate(() => {   // the port is random and must not change the picture
    document.getElementById('host').textContent = '127.0.0.1:8080';
  });
  await ada.mouse.move(0, 0);
  await ada.evaluate(() => Promise.all(document.getAnimations().filter(a => a.effect.getTiming().iterations === 1).map(a => a.finished)));
  await ada.screenshot({path: file});
}

const option = process.argv.indexOf('--screenshot');
await main(option < 0 ? tests : {screenshot: start => screenshot(start, process.argv[option + 1])});
