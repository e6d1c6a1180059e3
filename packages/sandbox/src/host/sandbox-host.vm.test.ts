import { randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { readFile, stat } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { installHostGuard } from '@dormouse/network';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { guestMemoryDir, layersDir, sandboxPaths, vmSlotsDir } from '../config/host-config.js';
import { DEFAULT_POLICY } from '../config/policy.js';
import type { SandboxRequest } from '../config/sandbox-spec.js';
import { readJournal } from '../records/journal-file.js';
import { runInGuest } from '../testing/run-in-guest.js';
import { NOTHING, type VmHost, vmHost } from '../testing/vm-host.js';
import { canChangeUser, VM_UIDS } from '../vm/vm-users.js';

const REQUEST: SandboxRequest = { template: 'base', envs: {}, internet: false };
/** Longer than anything here takes; for machines that do something else besides. */
const PATIENCE = { timeout: 60_000, interval: 20 } as const;

let vm: VmHost;

beforeAll(async () => {
  vm = await vmHost();
});

/** hazard 16: no test leaves anything behind, and none needed a second attempt to boot. */
afterEach(async () => {
  const left = await vm.presence();
  await Promise.all(vm.host.list().map((sandbox) => vm.host.destroy(sandbox.id)));
  expect(left).toEqual(NOTHING);
  const warnings = vm.warnings.splice(0);
  expect(warnings.filter((warning) => warning.startsWith('the guest did not come up'))).toEqual([]);
});

afterAll(async () => {
  await vm[Symbol.asyncDispose]();
});

function newId(): string {
  return `sb${Array.from({ length: 20 }, () => 'abcdefghijklmnopqrstuvwxyz0123456789'[randomInt(36)]).join('')}`;
}

/** Owner of a process. */
async function uidOf(pid: number): Promise<number> {
  return Number(/^Uid:\t(\d+)/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

describe('the life of a sandbox', () => {
  test('hazard 16: create, use and destroy leave nothing', async () => {
    const id = newId();
    const request: SandboxRequest = { ...REQUEST, hostname: 'dormouse-box', envs: { GREETING: 'grüezi' } };
    const sandbox = await vm.host.create(id, 1, request);
    expect(sandbox.journal).toMatchObject({ id, generation: 1, state: 'running' });
    const { processes, sandboxes, memory } = await vm.presence();
    expect([processes.length, sandboxes, memory]).toEqual([1, [id], [sandbox.journal.vm?.slot]]);
    expect(await readJournal(sandbox.paths.journal)).toEqual(sandbox.journal);

    const guest = await sandbox.guest();
    expect(await runInGuest(guest, 'id -un; pwd; hostname; echo $GREETING; echo oops >&2; exit 7')).toEqual({
      exitCode: 7,
      signal: 0,
      stdout: 'user\n/home/user\ndormouse-box\ngrüezi\n',
      stderr: 'oops\n',
    });
    const bytes = randomBytes(3 * 1024 * 1024);
    const entry = await guest.writeFile('dir/random.bin', bytes, { parents: true });
    expect(entry).toMatchObject({ path: '/home/user/dir/random.bin', owner: 'user', sizeBytes: 3_145_728n });
    const { data } = await guest.readFile('/home/user/dir/random.bin');
    const chunks: Uint8Array[] = [];
    for await (const chunk of data) chunks.push(Buffer.from(chunk));
    expect(Buffer.concat(chunks).equals(bytes)).toBe(true);

    await vm.host.destroy(id);
    expect(await vm.presence()).toEqual(NOTHING);
    expect(() => vm.host.get(id)).toThrow(`there is no sandbox '${id}' on this host`);
    await expect(sandbox.guest()).rejects.toMatchObject({ code: 'invalid_state' });
    await vm.host.destroy(id);
  });

  test('hazard 8: equal creates join, and a create of what runs answers it', async () => {
    const id = newId();
    const [first, second] = await Promise.all([
      vm.host.create(id, 1, REQUEST),
      vm.host.create(id, 1, { ...REQUEST, vcpus: 2 }),
    ]);
    expect(second).toBe(first);
    expect(await vm.host.create(id, 1, REQUEST)).toBe(first);
    expect((await vm.presence()).processes).toHaveLength(1);
    await Promise.all([vm.host.destroy(id), vm.host.destroy(id)]);
  });

  test.runIf(canChangeUser())('a VM is a user of its own whose files nobody else reads', async () => {
    const id = newId();
    const sandbox = await vm.host.create(id, 1, REQUEST);
    const uid = await uidOf(sandbox.vmPid!);
    expect(uid).toBe(sandbox.journal.vm?.uid);
    expect(uid).toBeGreaterThanOrEqual(VM_UIDS.first);
    expect(uid).toBeLessThanOrEqual(VM_UIDS.last);
    const { dir, journal } = sandboxPaths(vm.config, id);
    const slotDir = join(vmSlotsDir(vm.config), sandbox.journal.vm!.slot);
    const memory = join(guestMemoryDir(vm.config), sandbox.journal.vm!.slot);
    const layer = join(layersDir(vm.config), `${sandbox.journal.disk!.layers[0]}.qcow2`);
    const modes = await Promise.all(
      [
        dir,
        journal,
        join(slotDir, 'run'),
        layer,
        memory,
        join(dir, 'console.log'),
        join(slotDir, 'qemu.log'),
      ].map(async (path) => {
        const { uid: owner, mode } = await stat(path);
        return [owner === uid ? 'its own' : owner, (mode & 0o777).toString(8)];
      }),
    );
    expect(modes).toEqual([
      [0, '711'],
      [0, '600'],
      ['its own', '700'],
      ['its own', '600'],
      ['its own', '600'],
      [0, '600'],
      [0, '600'],
    ]);
    await vm.host.destroy(id);
  });

  test('hazard 10: fresh guests have the time of the host and randomness of their own', async () => {
    const ids = [newId(), newId()];
    const sandboxes = await Promise.all(ids.map((id) => vm.host.create(id, 1, REQUEST)));
    const draws: string[] = [];
    for (const sandbox of sandboxes) {
      const guest = await sandbox.guest();
      const before = Date.now();
      const { stdout } = await runInGuest(
        guest,
        'date +%s%3N; head -c 16 /dev/urandom | od -An -tx1; cat /proc/sys/kernel/random/boot_id',
      );
      const after = Date.now();
      const [time, ...random] = stdout.trim().split('\n');
      expect(Number(time)).toBeGreaterThanOrEqual(before - 1_000);
      expect(Number(time)).toBeLessThanOrEqual(after + 1_000);
      draws.push(...random);
    }
    expect(new Set(draws).size).toBe(4);
    await Promise.all(ids.map((id) => vm.host.destroy(id)));
  });
});

describe('the end of a VM', () => {
  test('by somebody’s SIGKILL leaves what was on its disk, from which it is booted again, never silently', async () => {
    const id = newId();
    const sandbox = await vm.host.create(id, 1, REQUEST);
    const guest = await sandbox.guest();
    await runInGuest(guest, 'echo kept > /home/user/file; sync; echo lost > /dev/shm/file');
    const waiting = runInGuest(guest, 'sleep 600');
    process.kill(sandbox.vmPid!, 'SIGKILL');
    await expect(waiting).rejects.toMatchObject({ code: 'guest_unreachable' });
    await expect.poll(() => sandbox.journal.state, PATIENCE).toBe('paused');
    const reason = 'its VM ended by itself (SIGKILL)';
    expect(sandbox.journal).toMatchObject({ reason, paused: { kind: 'disk', cause: 'vm_ended' } });
    expect(await readJournal(sandbox.paths.journal)).toEqual({ ...sandbox.journal, vm: undefined });
    await expect(sandbox.guest()).rejects.toMatchObject({
      code: 'invalid_state',
      message: `the sandbox is paused: ${reason}`,
    });
    await expect.poll(() => vm.presence(), PATIENCE).toEqual({ processes: [], sandboxes: [id], memory: [] });
    await vm.host.resume(id, 2);
    expect(sandbox.journal).toMatchObject({
      state: 'running',
      resumedBy: 'reboot',
      reason: `its memory was lost: ${reason}`,
    });
    const { stdout } = await runInGuest(await sandbox.guest(), 'cat /home/user/file; ls /dev/shm');
    expect(stdout).toBe('kept\n');
    const told = vm.host.events.pending().filter(({ sandboxId }) => sandboxId === id);
    expect(told.map((event) => [event.kind, event.generation, event.reason])).toEqual([
      ['vm_ended', 1, reason],
      ['rebooted', 2, `its memory was lost: ${reason}`],
    ]);
    await vm.host.destroy(id);
  });

  test('is not overcome by a boot where the policy forbids that, unless it is asked for', async () => {
    const id = newId();
    const policy = { ...DEFAULT_POLICY, onMemoryLoss: 'fail' } as const;
    const sandbox = await vm.host.create(id, 1, { ...REQUEST, policy });
    process.kill(sandbox.vmPid!, 'SIGKILL');
    await expect.poll(() => sandbox.journal.state, PATIENCE).toBe('paused');
    await expect(vm.host.resume(id, 2)).rejects.toMatchObject({
      code: 'snapshot_corrupt',
      message: 'its memory was lost: its VM ended by itself (SIGKILL)',
    });
    expect(sandbox.journal.state).toBe('paused');
    await vm.host.resume(id, 3, { reboot: true });
    expect(sandbox.journal).toMatchObject({ state: 'running', resumedBy: 'reboot' });
    await vm.host.destroy(id);
  });

  test('by the guest powering off leaves its disk as well', async () => {
    const id = newId();
    const sandbox = await vm.host.create(id, 1, REQUEST);
    await (await sandbox.guest()).shutdown('powerOff');
    await expect.poll(() => sandbox.journal.state, PATIENCE).toBe('paused');
    expect(sandbox.journal).toMatchObject({
      reason: 'the guest powered off or restarted',
      paused: { kind: 'disk', cause: 'vm_ended' },
    });
    await vm.host.destroy(id);
  });

  test('by shutting down gives the workload notice and keeps the disk', async () => {
    const id = newId();
    const sandbox = await vm.host.create(id, 1, REQUEST);
    const guest = await sandbox.guest();
    const script =
      'trap "echo noticed > /home/user/notice; sync; exit 0" TERM; echo ready; while :; do sleep 1; done';
    const workload = await guest.startProcess({ argv: ['/bin/sh', '-c', script] });
    for await (const { data } of workload.output) {
      expect(Buffer.from(data).toString()).toBe('ready\n');
      break;
    }
    await sandbox.shutDown('maintenance');
    expect(sandbox.journal).toMatchObject({
      state: 'paused',
      reason: 'maintenance',
      paused: { kind: 'disk', cause: 'shutdown' },
      resumeAtStart: true,
    });
    expect(await vm.presence()).toEqual({ processes: [], sandboxes: [id], memory: [] });
    await sandbox.shutDown('maintenance');
    expect(await vm.host.resumeAll()).toBe(1);
    const { stdout } = await runInGuest(await sandbox.guest(), 'cat /home/user/notice');
    expect(stdout).toBe('noticed\n');
    await vm.host.destroy(id);
  });

  test('is not waited for when it stands still: destroying ends it all the same', async () => {
    const id = newId();
    const sandbox = await vm.host.create(id, 1, REQUEST);
    process.kill(sandbox.vmPid!, 'SIGSTOP');
    await vm.host.destroy(id);
  });
});

describe('many at once', () => {
  test('hazard 8: four creates side by side make four sandboxes that do not see each other', async () => {
    const ids = [newId(), newId(), newId(), newId()];
    const sandboxes = await Promise.all(
      ids.map((id) => vm.host.create(id, 1, { ...REQUEST, memoryMb: 256 })),
    );
    expect(new Set(sandboxes.map((sandbox) => sandbox.vmPid)).size).toBe(4);
    if (canChangeUser()) expect(new Set(sandboxes.map((sandbox) => sandbox.journal.vm?.uid)).size).toBe(4);
    const names = await Promise.all(
      sandboxes.map(async (sandbox) => (await runInGuest(await sandbox.guest(), 'hostname')).stdout.trim()),
    );
    expect(names).toEqual(ids);
    await Promise.all(ids.map((id) => vm.host.destroy(id)));
  });

  test.each(['at once', 'when QEMU runs', 'when the kernel runs'])(
    'hazard 17: destroying during a boot, %s, cancels it and leaves nothing',
    async (moment) => {
      const id = newId();
      const creating = vm.host.create(id, 1, REQUEST);
      creating.catch(() => {});
      await expect.poll(() => vm.host.list().length, { ...PATIENCE, interval: 1 }).toBe(1);
      const sandbox = vm.host.get(id);
      if (moment !== 'at once')
        await expect.poll(async () => (await vm.presence()).processes.length, PATIENCE).toBe(1);
      if (moment === 'when the kernel runs') {
        await expect.poll(async () => (await sandbox.readConsole(100)).length, PATIENCE).toBeGreaterThan(0);
      }
      await vm.host.destroy(id);
      await expect(creating).rejects.toMatchObject({ code: 'cancelled', message: 'the boot was cancelled' });
      expect(vm.host.list()).toEqual([]);
    },
  );
});

describe('what is refused leaves nothing', () => {
  const memoryTotal = async (): Promise<number> =>
    Math.floor((await vm.host.room()).memoryTotalBytes / 1_048_576);

  test.each([
    ['vcpus', { vcpus: 4_294_967_295 }, /^vcpus must be 1 to \d+ on this host, not 4294967295$/],
    ['no vcpus', { vcpus: 0 }, /^vcpus must be 1 to \d+ on this host, not 0$/],
    ['memory', { memoryMb: 4_294_967_295 }, /^memory_mb must be 128 to 1048576, not 4294967295$/],
    ['no memory', { memoryMb: 1 }, /^memory_mb must be 128 to 1048576, not 1$/],
  ])('absurd %s', async (_name, change, message) => {
    await expect(vm.host.create(newId(), 1, { ...REQUEST, ...change })).rejects.toMatchObject({
      code: 'invalid_request',
      message: expect.stringMatching(message),
    });
  });

  test('hazard 18: more memory than there is', async () => {
    const total = await memoryTotal();
    await expect(vm.host.create(newId(), 1, { ...REQUEST, memoryMb: total + 1 })).rejects.toMatchObject({
      code: 'no_capacity',
      message: `a guest of ${total + 1} MiB does not fit: guest memory on this host is ${total} MiB in all`,
    });
  });

  test.each(['none', '../templates/base', 'base\0'])('hazard 14: the template %j', async (template) => {
    await expect(vm.host.create(newId(), 1, { ...REQUEST, template })).rejects.toMatchObject({
      code: 'not_found',
      message: `there is no template '${template}'`,
    });
  });
});

describe('the network of a guest', () => {
  /** A command that prints what became of a connection, and how many seconds that took. */
  const connectTo = (host: string, port: number): string =>
    `python3 -c "
import socket, time
began = time.monotonic()
try:
    socket.create_connection(('${host}', ${port}), timeout=60).close()
    print('connected', end=' ')
except OSError as error:
    print(error.strerror, end=' ')
print('at once' if time.monotonic() - began < 30 else 'after waiting')"`;

  test('without internet is none, and a connection fails at once', async () => {
    const id = newId();
    const sandbox = await vm.host.create(id, 1, { ...REQUEST, internet: false });
    const guest = await sandbox.guest();
    const script = [
      connectTo('10.0.2.2', 80),
      connectTo('192.0.2.1', 80),
      'ip -o -4 address show scope global',
    ].join('\n');
    // There is no route at all, so nothing waits for an answer.
    expect((await runInGuest(guest, script)).stdout).toBe(
      'Network is unreachable at once\nNetwork is unreachable at once\n',
    );
    await vm.host.destroy(id);
  });

  test('with internet has addresses and names, and does not reach services of this host', async () => {
    const id = newId();
    let reached = 0;
    const server = createServer((socket) => {
      reached += 1;
      socket.end();
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const guard = canChangeUser()
      ? await installHostGuard(vm.config.dataDir, VM_UIDS).catch(() => undefined)
      : undefined;
    try {
      const sandbox = await vm.host.create(id, 1, { ...REQUEST, internet: true });
      const guest = await sandbox.guest();
      const facts = await runInGuest(
        guest,
        'cat /etc/resolv.conf; ip -o -4 address show scope global | grep -o "inet [^ ]*"; ip route show default | cut -d" " -f1-3',
      );
      expect(facts.stdout).toBe('nameserver 10.0.2.3\ninet 10.0.2.15/24\ndefault via 10.0.2.2\n');
      // QEMU itself answers for the gateway, so this shows that the way out is open.
      expect((await runInGuest(guest, 'ping -c 1 -W 30 10.0.2.2', 'root')).exitCode).toBe(0);
      if (guard !== undefined) {
        const { port } = server.address() as AddressInfo;
        expect((await runInGuest(guest, connectTo('10.0.2.2', port))).stdout).toBe(
          'Connection refused at once\n',
        );
        expect(reached).toBe(0);
      }
      await vm.host.destroy(id);
    } finally {
      await guard?.remove();
      server.close();
    }
  });
});

describe('a guest that floods its console', () => {
  // Byte by byte through the serial port, each an exit of the processor: half an hour under the lab's emulated KVM.
  const inTime = test.skipIf(process.env.DORMOUSE_LAB === '1');
  inTime('hazards 15 and 18: fills two files of bounded size and goes on answering', async () => {
    const id = newId();
    const sandbox = await vm.host.create(id, 1, REQUEST);
    const guest = await sandbox.guest();
    const flood = await guest.startProcess({
      argv: ['sh', '-c', 'exec yes hostile > /dev/ttyS0'],
      user: 'root',
    });
    const log = join(sandbox.paths.dir, 'console.log');
    const size = async (path: string): Promise<number> =>
      (await stat(path).catch(() => undefined))?.size ?? 0;
    // The log has been turned over once, and the second file is being filled.
    await expect
      .poll(() => size(`${log}.1`), { timeout: 240_000, interval: 100 })
      .toBeGreaterThan(512 * 1024);
    const after = await size(log);
    await expect.poll(() => size(log), PATIENCE).not.toBe(after);
    expect((await runInGuest(guest, 'echo still here')).stdout).toBe('still here\n');
    await flood.signal(9);
    expect(await flood.exit).toMatchObject({ signal: 9 });
    expect(await size(`${log}.1`)).toBeLessThanOrEqual(576 * 1024);
    expect(await size(log)).toBeLessThanOrEqual(576 * 1024);
    const tail = await sandbox.readConsole(1_000);
    expect(tail.toString('latin1')).toContain('hostile\r\nhostile\r\n');
    await vm.host.destroy(id);
  });
});
