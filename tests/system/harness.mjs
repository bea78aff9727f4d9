// Starts the built wsd for tests in JavaScript; the counterpart of harness.py. WSD and WSD_CTL name the programs.
// npm's packages are found in node_modules in this folder, then in the folders of NODE_PATH.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, mkdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const here = path.dirname(fileURLToPath(import.meta.url));
export const patience = 1000 * Number(process.env.WSSERVER_TEST_PATIENCE ?? 60);  // milliseconds

export function skip(why) {
  console.error(`skipped: ${why}`);
  process.exit(process.env.WSSERVER_TEST_STRICT ? 1 : 77);   // 77: Meson's SKIP
}

/// A package of npm. Skips the test if it is missing.
export function need(name) {
  try {
    return createRequire(import.meta.url)(name);
  } catch (error) {
    if (error.code !== 'MODULE_NOT_FOUND') throw error;
    return skip(`npm's package ${name} is missing: npm install in ${here}, or set NODE_PATH`);
  }
}

export function program(variable) {
  if (process.env[variable]) return process.env[variable];
  throw new Error(`${variable} is not set: run through meson test, or give the path of the built program`);
}

/// The promise, which fails with the name of what it waited for if it takes too long.
export function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${patience / 1000} s for ${what}`)), patience);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/// Runs a program until it exits.
export async function run(command, words, options = {}) {
  const child = spawn(command, words, {stdio: ['ignore', 'pipe', 'pipe'], ...options});
  let out = '', err = '';
  child.stdout.on('data', data => { out += data; });
  child.stderr.on('data', data => { err += data; });
  const [code] = await within(once(child, 'close'), `${command} ${words.join(' ')}`);
  return {code, out, err};
}

const started = new Set();
process.on('exit', () => {
  for (const daemon of started) {
    daemon.child?.kill('SIGKILL');
    rmSync(daemon.folder, {recursive: true, force: true});
  }
});

export class Wsd {
  constructor(...flags) {
    this.flags = flags;
    this.folder = mkdtempSync(path.join(tmpdir(), 'wsd-test-'));
    this.spool = path.join(this.folder, 'spool');
    this.listen = '127.0.0.1:0';
    this.log = '';
    this.env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(WSD_|XDG_)/.test(name)));
    for (const name of ['XDG_CONFIG_HOME', 'XDG_RUNTIME_DIR', 'XDG_STATE_HOME']) {
      this.env[name] = path.join(this.folder, name.toLowerCase());
      mkdirSync(this.env[name], {mode: 0o700});
    }
    started.add(this);
  }

  /// Resolves when wsd listens. When started again, it listens on the same port.
  async start() {
    this.child = spawn(program('WSD'), ['--config', '/dev/null', '--listen', this.listen, '--spool', this.spool,
      '--pid-file', path.join(this.folder, 'wsd.pid'), ...this.flags], {stdio: ['ignore', 'pipe', 'pipe'], env: this.env});
    this.child.stderr.on('data', data => { this.log += data; });
    let printed = '';
    const listening = new Promise((resolve, reject) => {
      this.child.stdout.on('data', data => {
        printed += data;
        const match = printed.match(/listening on (ws:\/\/(\S+))\n/);
        if (match) resolve(match);
      });
      this.child.once('close', code => reject(new Error(`wsd ended with ${code}:\n${this.log}`)));
    });
    const [, url, address] = await within(listening, 'wsd to listen');
    this.url = url;
    this.listen = address.replace(/\/$/, '');
    this.page = `http://${this.listen}/`;
    return this;
  }

  /// Sends the signal and returns the exit code.
  async stop(signal = 'SIGTERM') {
    const ended = once(this.child, 'close');
    this.child.kill(signal);
    const [code] = await within(ended, 'wsd to end');
    return code;
  }

  async ctl(...words) {
    const {code, out, err} = await run(program('WSD_CTL'), ['--spool', this.spool, '--timeout', `${patience / 1000}s`, ...words],
                                       {env: this.env});
    if (code !== 0) throw new Error(`wsd-ctl ${words.join(' ')} exited with ${code}: ${err}${out}`);
    return out;
  }
}

/// Runs the tests one after the other. Exits with 1 if one fails.
export async function main(tests) {
  let failed = 0;
  for (const [name, test] of Object.entries(tests)) {
    const daemons = [];
    try {
      await test(async (...flags) => {
        const daemon = new Wsd(...flags);
        daemons.push(daemon);
        return daemon.start();
      });
      console.log(`ok    ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`FAIL  ${name}\n${error.stack}`);
      for (const daemon of daemons) console.log(`--- wsd's log\n${daemon.log}---`);
    }
    for (const daemon of daemons) daemon.child?.kill('SIGKILL');
  }
  process.exit(failed ? 1 : 0);
}
