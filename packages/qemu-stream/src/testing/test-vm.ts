import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { GuestShell } from './guest-shell.js';
import { connectSoon, QmpClient } from './qmp-client.js';
import { type TemporaryDirectory, temporaryDirectory } from './temporary-directory.js';
import type { GuestAssets } from './test-initramfs.js';

const MEMORY_BYTES = 256 * 1024 * 1024;
const LOOPS_PER_JIFFY_PER_KHZ = 4;

/** What distinguishes one test VM from another. */
export interface TestVmOptions {
  /** Waits for a migration instead of booting. */
  readonly incoming?: boolean;
  /** More of QEMU's arguments. */
  readonly devices?: readonly string[];
}

/** A QEMU with a guest of 256 MiB whose RAM is a file on tmpfs. Disposing ends it and frees everything. */
export class TestVm implements AsyncDisposable {
  readonly qmp: QmpClient;
  readonly shell: GuestShell;
  readonly memoryPath: string;
  readonly #folder: TemporaryDirectory;
  readonly #memory: TemporaryDirectory;
  readonly #process: ChildProcess;
  #connection: Socket | undefined;

  private constructor(
    folder: TemporaryDirectory,
    memory: TemporaryDirectory,
    process: ChildProcess,
    qmp: QmpClient,
    shell: GuestShell,
  ) {
    this.#folder = folder;
    this.#memory = memory;
    this.memoryPath = join(memory.path, 'ram');
    this.#process = process;
    this.qmp = qmp;
    this.shell = shell;
  }

  static async start(assets: GuestAssets, options: TestVmOptions = {}): Promise<TestVm> {
    const folder = await temporaryDirectory();
    const memory = await temporaryDirectory('/dev/shm');
    const args = await qemuArguments(assets, folder.path, join(memory.path, 'ram'), options);
    const child = spawn('qemu-system-x86_64', args, { stdio: ['ignore', 'ignore', 'inherit'] });
    const qmp = await QmpClient.connect(join(folder.path, 'qmp.sock'));
    const shell = await GuestShell.connect(join(folder.path, 'guest.sock'));
    return new TestVm(folder, memory, child, qmp, shell);
  }

  /** Stops the guest and answers what QEMU saves of it besides the RAM file. */
  async freeze(): Promise<Buffer> {
    await this.qmp.execute('stop');
    await this.qmp.execute('migrate-set-capabilities', {
      capabilities: [
        { capability: 'postcopy-ram', state: false },
        { capability: 'x-ignore-shared', state: true },
      ],
    });
    await this.qmp.execute('migrate-set-parameters', { 'max-bandwidth': 100_000_000_000 });
    const path = join(this.#folder.path, 'out.sock');
    const server = createServer().listen(path);
    try {
      await once(server, 'listening');
      const accepted = once(server, 'connection');
      await this.qmp.execute('migrate', { uri: `unix:${path}` });
      const [socket] = (await accepted) as [Socket];
      const chunks: Buffer[] = [];
      for await (const chunk of socket as AsyncIterable<Buffer>) chunks.push(chunk);
      const state = await this.qmp.migrationIs('completed', 'failed');
      if (state !== 'completed') throw new Error('QEMU could not save its state');
      return Buffer.concat(chunks);
    } finally {
      server.close();
    }
  }

  /** The connection that a source has to play on. It is closed after the VM has ended. */
  async accept(capabilities: readonly string[] = ['postcopy-ram']): Promise<Socket> {
    await this.qmp.execute('migrate-set-capabilities', {
      capabilities: capabilities.map((capability) => ({ capability, state: true })),
    });
    const path = join(this.#folder.path, 'in.sock');
    await this.qmp.execute('migrate-incoming', { uri: `unix:${path}` });
    this.#connection = await connectSoon(path);
    return this.#connection;
  }

  /** Ends QEMU at once. */
  async kill(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const exited = once(this.#process, 'exit');
    this.#process.kill('SIGKILL');
    await exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    this.qmp.close();
    this.shell.close();
    this.#connection?.destroy();
    await this.#memory[Symbol.asyncDispose]();
    await this.#folder[Symbol.asyncDispose]();
  }
}

async function qemuArguments(
  assets: GuestAssets,
  folder: string,
  memoryPath: string,
  options: TestVmOptions,
): Promise<string[]> {
  const socket = (id: string): string[] => [
    '-chardev',
    `socket,id=${id},path=${join(folder, `${id}.sock`)},server=on,wait=off`,
  ];
  // Emulation on purpose, also where there is KVM: the state that is restored must not depend on the machine.
  return [
    ...['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none'],
    ...['-M', 'microvm,acpi=on,rtc=on,isa-serial=off,memory-backend=ram'],
    ...['-accel', 'tcg,thread=multi,tb-size=256', '-cpu', 'max,-erms,-fsrm,-la57'],
    ...['-m', `${MEMORY_BYTES}B`, '-object'],
    `memory-backend-file,id=ram,size=${MEMORY_BYTES}B,mem-path=${memoryPath},share=on`,
    ...['-kernel', assets.vmlinuxPath, '-initrd', assets.initramfsPath],
    ...['-append', await kernelCommandLine()],
    ...[...socket('qmp'), '-mon', 'chardev=qmp,mode=control', ...socket('guest')],
    ...['-device', 'virtio-serial-device,max_ports=2', '-device', 'virtserialport,chardev=guest,name=test'],
    ...['-blockdev', `driver=file,node-name=root,read-only=on,filename=${assets.imagePath}`],
    ...['-device', 'virtio-blk-device,drive=root'],
    ...(options.devices ?? []),
    ...(options.incoming === true ? ['-incoming', 'defer'] : []),
  ];
}

/** Under emulation the TSC is the host's, and a guest that calibrates it on a busy host may hang. */
async function kernelCommandLine(): Promise<string> {
  const mhz = /@ ([\d.]+)GHz|^cpu MHz\s*:\s*([\d.]+)/m.exec(await readFile('/proc/cpuinfo', 'latin1'));
  const khz = Math.round(mhz?.[1] === undefined ? Number(mhz?.[2]) * 1e3 : Number(mhz[1]) * 1e6);
  return [
    ...['quiet', 'reboot=t', 'panic=-1', 'mitigations=off', 'no_timer_check', 'random.trust_cpu=on'],
    ...['cryptomgr.notests', `tsc_early_khz=${khz}`, `lpj=${khz * LOOPS_PER_JIFFY_PER_KHZ}`],
  ].join(' ');
}
