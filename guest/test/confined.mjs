// Starts build/test/confined-agent on a fresh directory; null where that is not allowed.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const BUILD = new URL('../build/test/', import.meta.url).pathname;

export async function startConfined({ machine = false } = {}) {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'dormouse-confined-'));
  for (const d of ['bin', 'etc', 'tmp', 'dev', 'root', 'home/user', 'srv', 'proc', 'sys/fs/cgroup'])
    fs.mkdirSync(path.join(root, d), { recursive: true });
  fs.writeFileSync(
    path.join(root, 'etc/passwd'),
    'root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/bash\n',
  );
  fs.writeFileSync(path.join(root, 'etc/group'), 'root:x:0:\nuser:x:1000:\naudio:x:29:user\n');
  fs.writeFileSync(path.join(root, 'dev/null'), '');
  for (const name of ['true', 'bash', 'sleep', 'flood', 'storm', 'group', 'tick', 'leave', 'fifo'])
    fs.copyFileSync(path.join(BUILD, 'child'), path.join(root, 'bin', name));
  fs.copyFileSync(path.join(BUILD, 'dead-mount'), path.join(root, 'bin/dead-mount'));
  const agent = spawn(path.join(BUILD, 'confined-agent'), machine ? [root, 'machine'] : [root], {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, ASAN_OPTIONS: 'detect_leaks=1:abort_on_error=0' },
  });
  const exited = new Promise((resolve) => agent.once('exit', (code, signal) => resolve(code ?? signal)));
  const socket = path.join(root, 'agent.sock');
  for (let i = 0; i < 250 && !fs.existsSync(socket) && agent.exitCode === null; i++)
    await new Promise((r) => setTimeout(r, 20));
  const remove = () => {
    fs.rmSync(root, { recursive: true, force: true });
    for (const mount of fs.readFileSync('/proc/self/mounts', 'utf8').split('\n')) {
      const [, point, type] = mount.split(' ');
      if (type === 'cgroup2') removeGroups(path.join(point, `dormouse-test-${agent.pid}`));
    }
  };
  if (agent.exitCode === 77) {
    remove();
    return null;
  }
  await new Promise((r) => setTimeout(r, 100));
  return { agent, exited, socket, root, remove };
}

/** Control groups can be removed when their last process is gone, which may take a little. */
function removeGroups(directory) {
  if (!fs.existsSync(directory)) return;
  for (const entry of fs.readdirSync(directory, { withFileTypes: true }))
    if (entry.isDirectory()) removeGroups(path.join(directory, entry.name));
  for (let i = 0; ; i++) {
    try {
      fs.rmdirSync(directory);
      return;
    } catch (error) {
      if (i > 200) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
    }
  }
}
