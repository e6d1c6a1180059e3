import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { identify, isAlive } from './process-table.js';
import { Service, type ServiceSpec } from './service.js';

let directory: string;
const services: Service[] = [];
const never = new AbortController().signal;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'dormouse-service-'));
});

afterEach(async () => {
  await Promise.all(services.splice(0).map((service) => service.stop()));
  rmSync(directory, { recursive: true });
});

/** A service whose program is the given script, and everything it tells. */
function serviceOf(script: string, spec: Partial<ServiceSpec> = {}) {
  const program = join(directory, 'program.mjs');
  writeFileSync(program, script);
  const notes: string[] = [];
  const starts: unknown[] = [];
  let wake = (): void => {};
  const service = new Service(
    {
      name: 'sleeper',
      args: () => [program],
      env: () => ({}),
      isReady: (line) => line.ready === true,
      readyTimeoutMs: 20_000,
      stopTimeoutMs: 20_000,
      ...spec,
    },
    directory,
    {
      onNote: (text) => {
        notes.push(text);
        wake();
      },
      onReady: (line) => {
        starts.push(line);
        wake();
      },
      onProcess: () => {},
    },
  );
  services.push(service);
  const until = async (condition: () => boolean): Promise<void> => {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  return { service, notes, starts, until, log: () => readFileSync(join(directory, 'sleeper.log'), 'utf8') };
}

const READY = `process.stdin.on('end', () => process.exit(0)); process.stdin.resume();
process.stdout.write(JSON.stringify({ ready: true, pid: process.pid }) + '\\n');`;

test('it is ready when it says so, and its log holds what it wrote on stderr', async () => {
  const { service, log } = serviceOf(`console.error('hello'); console.log('no json'); ${READY}`);
  const line = await service.start(never);
  expect(line.pid).toBe(service.pid);
  await service.stop();
  expect(service.pid).toBeUndefined();
  expect(log()).toBe('hello\n');
});

test('killed, it is started again and says so', async () => {
  const { service, notes, starts, until } = serviceOf(READY);
  await service.start(never);
  const first = service.pid!;
  process.kill(first, 'SIGKILL');
  await until(() => starts.length === 2);
  expect(service.pid).not.toBe(first);
  expect(notes).toEqual([
    `sleeper ended (SIGKILL); starting it again in 0.2 s; its log: ${join(directory, 'sleeper.log')}`,
    'sleeper is ready again',
  ]);
});

test('one that cannot come back is tried again and again, later each time', async () => {
  const flag = join(directory, 'flag');
  const { service, notes, until } = serviceOf(
    `import { existsSync, writeFileSync } from 'node:fs';
    if (existsSync('${flag}')) { console.error('the disk is gone'); process.exit(7); }
    writeFileSync('${flag}', ''); ${READY}`,
  );
  await service.start(never);
  process.kill(service.pid!, 'SIGKILL');
  await until(() => notes.length === 3);
  const log = join(directory, 'sleeper.log');
  const why = 'sleeper ended while starting (exit 7): the disk is gone';
  expect(notes).toEqual([
    `sleeper ended (SIGKILL); starting it again in 0.2 s; its log: ${log}`,
    `sleeper ended (${why}); starting it again in 0.4 s; its log: ${log}`,
    `sleeper ended (${why}); starting it again in 0.8 s; its log: ${log}`,
  ]);
});

test('a first start that fails is an error with the end of the log, and is not repeated', async () => {
  const { service, notes } = serviceOf(
    `console.error('first'); console.error('port in use'); process.exit(4);`,
  );
  await expect(service.start(never)).rejects.toMatchObject({
    code: 'setup_failed',
    message: 'sleeper ended while starting (exit 4): port in use',
    suggestion: `Its log: ${join(directory, 'sleeper.log')}`,
  });
  expect([notes, service.pid]).toEqual([[], undefined]);
});

test('an error that the program reports is taken over', async () => {
  const reported = JSON.stringify({
    error: { code: 'no_space', message: 'disk full', suggestion: 'Make room.' },
  });
  const { service } = serviceOf(`console.log('${reported}'); setInterval(() => {}, 1000);`);
  await expect(service.start(never)).rejects.toMatchObject({
    code: 'no_space',
    message: 'disk full',
    suggestion: 'Make room.',
  });

  const logged = JSON.stringify({ level: 60, msg: 'no kernel', code: 'setup_failed', suggestion: 'Run up.' });
  const other = serviceOf(`console.error('${logged}'); process.exit(5);`);
  await expect(other.service.start(never)).rejects.toMatchObject({
    message: 'sleeper ended while starting (exit 5): no kernel',
    suggestion: 'Run up.',
  });
});

test('one that never gets ready is given up in time and leaves no process', async () => {
  const { service } = serviceOf('setInterval(() => {}, 1000);', { readyTimeoutMs: 300 });
  const started = service.start(never);
  const identity = identify(service.pid!);
  await expect(started).rejects.toThrow(/^sleeper was not ready after 0\.3 s/);
  expect(identity && isAlive(identity)).toBe(false);
});

test('one that ignores SIGTERM is killed when its time is up', async () => {
  const deaf = `process.on('SIGTERM', () => {}); ${READY} setInterval(() => {}, 1000);`;
  const slow = serviceOf(deaf, { stopTimeoutMs: 300 });
  await slow.service.start(never);
  const identity = identify(slow.service.pid!);
  await slow.service.stop();
  expect(slow.notes).toEqual(['sleeper does not end and is killed']);
  expect(identity && isAlive(identity)).toBe(false);
});

test('interrupted while starting, it ends', async () => {
  const { service } = serviceOf('setInterval(() => {}, 1000);');
  const controller = new AbortController();
  const started = service.start(controller.signal);
  controller.abort();
  await expect(started).rejects.toMatchObject({ code: 'setup_failed' });
  expect(service.pid).toBeUndefined();
});

test('stopped during the pause before a restart, it stays down', async () => {
  const { service, notes, starts, until } = serviceOf(READY);
  await service.start(never);
  process.kill(service.pid!, 'SIGKILL');
  await until(() => notes.length === 1);
  await service.stop();
  expect([service.pid, starts.length]).toEqual([undefined, 1]);
});

test('it runs in a session of its own, which Ctrl-C on our terminal does not reach', async () => {
  const { service } = serviceOf(READY);
  await service.start(never);
  const stat = readFileSync(`/proc/${service.pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  expect(Number(stat[3])).toBe(service.pid);
});
