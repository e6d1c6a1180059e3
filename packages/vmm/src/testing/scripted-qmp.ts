import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { temporaryDirectory } from './temporary-directory.js';

/** What QEMU 7.2 says first. */
export const GREETING: string =
  '{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian"}, "capabilities": ["oob"]}}\r\n';

/** A command as it arrived. */
export interface ReceivedCommand {
  readonly execute: string;
  readonly arguments?: unknown;
  readonly id: number;
}

const commandSchema: z.ZodType<ReceivedCommand> = z.object({
  execute: z.string(),
  arguments: z.unknown().optional(),
  id: z.int(),
});

/** The server's end of one connection. */
export interface QmpPeer {
  readonly socket: Socket;
  /** Sends an object as a line. */
  send(value: unknown): void;
}

/** A QMP server that does what a test tells it to. */
export interface ScriptedQmp extends AsyncDisposable {
  readonly path: string;
  /** Every command received so far. */
  readonly commands: readonly ReceivedCommand[];
}

/** What the server does. */
export interface QmpScript {
  /** On a new connection; the default greets. */
  readonly connected?: (peer: QmpPeer) => void;
  /** On every command but `qmp_capabilities`, which is granted; the default never answers. */
  readonly command?: (command: ReceivedCommand, peer: QmpPeer) => void;
}

/** Listens on a Unix socket of its own. */
export async function scriptedQmp(script: QmpScript): Promise<ScriptedQmp> {
  const directory = await temporaryDirectory();
  const path = join(directory.path, 'qmp.sock');
  const commands: ReceivedCommand[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    const peer: QmpPeer = { socket, send: (value) => socket.write(`${JSON.stringify(value)}\r\n`) };
    createInterface({ input: socket }).on('line', (line) => {
      const command = commandSchema.parse(JSON.parse(line));
      commands.push(command);
      if (command.execute === 'qmp_capabilities') peer.send({ return: {}, id: command.id });
      else script.command?.(command, peer);
    });
    if (script.connected === undefined) socket.write(GREETING);
    else script.connected(peer);
  });
  server.listen(path);
  await once(server, 'listening');
  return {
    path,
    commands,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
      await directory[Symbol.asyncDispose]();
    },
  };
}
