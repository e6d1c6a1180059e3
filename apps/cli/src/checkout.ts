import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** The checkout this command line belongs to. */
export const CHECKOUT: string = resolve(import.meta.dirname, '../../..');

/** Programs of the other apps, which this one starts but never imports. */
export const ENTRY_POINTS: Readonly<
  Record<'prepare' | 'hostDoctor' | 'hostAgent' | 'database' | 'controlPlane', string>
> = {
  prepare: join(CHECKOUT, 'apps/host-agent/dist/prepare.js'),
  hostDoctor: join(CHECKOUT, 'apps/host-agent/dist/doctor.js'),
  hostAgent: join(CHECKOUT, 'apps/host-agent/dist/main.js'),
  database: join(CHECKOUT, 'apps/control-plane/dist/database.js'),
  controlPlane: join(CHECKOUT, 'apps/control-plane/dist/main.js'),
};

/** A Debian package and the command that shows it is there. */
export interface ToolPackage {
  readonly name: string;
  readonly tool: string;
}

/** The Debian packages that running sandboxes needs; the table is setup's. */
export function runtimePackages(): readonly ToolPackage[] {
  const text = readFileSync(join(CHECKOUT, 'setup/debian-packages.json'), 'utf8');
  return (JSON.parse(text) as { runtime: readonly ToolPackage[] }).runtime;
}

/** The version of this checkout. */
export function checkoutVersion(): string {
  return (JSON.parse(readFileSync(join(CHECKOUT, 'package.json'), 'utf8')) as { version: string }).version;
}
