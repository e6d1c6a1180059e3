import { describe, expect, test } from 'vitest';
import type { VmSpec } from '../micro-vm.js';
import { kernelCommandLine, qemuArguments, qemuCommand, topmostLayer, vmSockets } from './arguments.js';

const SPEC: VmSpec = {
  runDir: '/data/sandboxes/sb1/run',
  logDir: '/data/sandboxes/sb1',
  accelerator: 'tcg',
  vcpus: 2,
  memoryBytes: 512 * 1024 * 1024,
  memoryPath: '/dev/shm/dormouse/sb1',
  kernelPath: '/assets/vmlinux',
  initramfsPath: '/assets/initramfs.cpio',
  diskPath: '/data/sandboxes/sb1/disk.qcow2',
  consoleLogPath: '/data/sandboxes/sb1/console.log',
  network: { kind: 'user', restricted: true },
};

/** Written out in full on purpose: every argument decides what a hostile guest can reach. */
const FEATURES = { seccomp: true };

const EXPECTED = [
  ...['-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', '-S', '-name', 'dormouse'],
  ...['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
  ...['-M', 'microvm,acpi=on,rtc=on,isa-serial=on,memory-backend=ram'],
  ...[
    '-accel',
    'tcg,thread=multi,tb-size=256',
    '-cpu',
    'max,-erms,-fsrm,-la57',
    '-smp',
    '2',
    '-m',
    '536870912B',
  ],
  '-object',
  'memory-backend-file,id=ram,size=536870912B,mem-path=/dev/shm/dormouse/sb1,share=on',
  ...['-kernel', '/assets/vmlinux', '-initrd', '/assets/initramfs.cpio', '-append', 'quiet'],
  ...['-chardev', 'socket,id=qmp,path=/data/sandboxes/sb1/run/qmp.sock,server=on,wait=off'],
  ...['-mon', 'chardev=qmp,mode=control'],
  ...['-chardev', 'socket,id=console,path=/data/sandboxes/sb1/run/console.sock,server=on,wait=off'],
  ...['-serial', 'chardev:console'],
  ...['-chardev', 'socket,id=guest,path=/data/sandboxes/sb1/run/guest.sock,server=on,wait=off'],
  ...['-device', 'virtio-serial-device,max_ports=2'],
  ...['-device', 'virtserialport,chardev=guest,name=dormouse.guest.0'],
  '-blockdev',
  'driver=qcow2,node-name=layer-0,discard=unmap,file.driver=file,file.filename=/data/sandboxes/sb1/disk.qcow2,file.discard=unmap',
  ...['-blockdev', 'driver=raw,node-name=root,file=layer-0'],
  ...['-device', 'virtio-blk-device,drive=root'],
  ...['-object', 'rng-random,id=rng0,filename=/dev/urandom', '-device', 'virtio-rng-device,rng=rng0'],
  ...['-netdev', 'user,id=net0,ipv6=off,restrict=on'],
  ...['-device', 'virtio-net-device,netdev=net0,mac=52:54:00:64:6f:72'],
];

describe('the command line of QEMU', () => {
  test('under emulation, without internet, is exactly this', () => {
    expect(qemuArguments(SPEC, 'quiet', FEATURES)).toEqual(EXPECTED);
  });

  test('that waits for a saved VM has no kernel, a hollow disk, and something to wait for', () => {
    const { diskPath: _disk, consoleLogPath: _log, kernelPath: _k, initramfsPath: _i, ...machine } = SPEC;
    const expected = EXPECTED.flatMap((word) => (word === '-S' ? ['-incoming', 'defer'] : [word]));
    expected.splice(expected.indexOf('-kernel'), 6);
    const layer = expected.findIndex((word) => word.startsWith('driver=qcow2'));
    expected[layer] = 'driver=null-co,node-name=hollow,size=8589934592,read-zeroes=on';
    expected[layer + 2] = 'driver=raw,node-name=root,file=hollow';
    const standby = { ...machine, diskBytes: 8 * 1024 ** 3 };
    expect(qemuArguments(standby, 'quiet', FEATURES)).toEqual(expected);
  });

  test('the topmost layer is the one with the highest number', () => {
    expect(topmostLayer(['root', 'layer-0', '#block1', 'layer-10', 'layer-9'])).toBe(10);
    expect(topmostLayer(['root', 'hollow'])).toBe(-1);
  });

  test('under KVM differs in the accelerator and the processor only', () => {
    const expected = [...EXPECTED];
    expected.splice(expected.indexOf('-accel'), 4, '-accel', 'kvm', '-cpu', 'host');
    expect(qemuArguments({ ...SPEC, accelerator: 'kvm' }, 'quiet', FEATURES)).toEqual(expected);
  });

  test('with internet differs in the restriction only', () => {
    const expected = EXPECTED.map((word) => word.replace('restrict=on', 'restrict=off'));
    expect(
      qemuArguments({ ...SPEC, network: { kind: 'user', restricted: false } }, 'quiet', FEATURES),
    ).toEqual(expected);
  });

  test('has no filter of system calls where QEMU was built without', () => {
    const words = qemuArguments(SPEC, 'quiet', { seccomp: false });
    expect(words).not.toContain('-sandbox');
    expect(words.length).toBe(EXPECTED.length - 2);
  });

  test('hazard 14: a comma in a path cannot add an option', () => {
    const spec: VmSpec = { ...SPEC, runDir: '/a,b', memoryPath: '/c,share=off', diskPath: '/d,e,f' };
    const words = qemuArguments(spec, 'quiet', FEATURES);
    expect(words).toContain('socket,id=qmp,path=/a,,b/qmp.sock,server=on,wait=off');
    expect(words).toContain('socket,id=console,path=/a,,b/console.sock,server=on,wait=off');
    expect(words).toContain('socket,id=guest,path=/a,,b/guest.sock,server=on,wait=off');
    expect(words).toContain('memory-backend-file,id=ram,size=536870912B,mem-path=/c,,share=off,share=on');
    expect(words).toContain(
      'driver=qcow2,node-name=layer-0,discard=unmap,file.driver=file,file.filename=/d,,e,,f,file.discard=unmap',
    );
  });

  test('without a user is QEMU itself', () => {
    expect(qemuCommand(SPEC, 'quiet', FEATURES)).toEqual(['qemu-system-x86_64', ...EXPECTED]);
  });

  test('with a user goes through setpriv, which leaves it one capability and no groups', () => {
    expect(qemuCommand({ ...SPEC, user: { uid: 1001, gid: 1002, groups: [] } }, 'quiet', FEATURES)).toEqual([
      'setpriv',
      '--reuid=1001',
      '--regid=1002',
      '--clear-groups',
      '--inh-caps=-all,+sys_ptrace',
      '--ambient-caps=-all,+sys_ptrace',
      '--bounding-set=-all,+sys_ptrace',
      '--',
      'qemu-system-x86_64',
      ...EXPECTED,
    ]);
  });

  test('with groups hands exactly those to the user', () => {
    const command = qemuCommand(
      { ...SPEC, user: { uid: 1001, gid: 1002, groups: [108, 36] } },
      'quiet',
      FEATURES,
    );
    expect(command.slice(0, 4)).toEqual(['setpriv', '--reuid=1001', '--regid=1002', '--groups=108,36']);
  });

  test('has its sockets in the run directory', () => {
    expect(vmSockets('/run/x')).toEqual({
      qmp: '/run/x/qmp.sock',
      guest: '/run/x/guest.sock',
      console: '/run/x/console.sock',
    });
  });
});

describe('the kernel command line', () => {
  const COMMON =
    'console=ttyS0 quiet reboot=t panic=-1 8250.nr_uarts=1 rcupdate.rcu_expedited=1 cryptomgr.notests random.trust_cpu=on raid=noautodetect';

  test('under KVM leaves timers and mitigations to the hardware', () => {
    expect(kernelCommandLine({ accelerator: 'kvm', hostTscKhz: 2_100_000 })).toBe(COMMON);
  });

  test('under emulation names the frequency of the TSC and the loops per jiffy that follow from it', () => {
    expect(kernelCommandLine({ accelerator: 'tcg', hostTscKhz: 2_100_000 })).toBe(
      `${COMMON} mitigations=off no_timer_check tsc_early_khz=2100000 lpj=8400000`,
    );
  });

  test('under emulation without a known frequency lets the guest calibrate', () => {
    expect(kernelCommandLine({ accelerator: 'tcg' })).toBe(`${COMMON} mitigations=off no_timer_check`);
  });
});
