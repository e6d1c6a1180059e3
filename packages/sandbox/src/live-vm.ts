import type { DormouseError } from '@dormouse/errors';
import type { GuestLink } from '@dormouse/guest-link';
import type { Served } from '@dormouse/page-server';
import type { MicroVm } from '@dormouse/vmm';
import type { Disk } from './disk.js';
import type { VmSlot } from './vm-slots.js';

/** A VM that has just come to life, by boot or by restore. */
export interface StartedVm {
  readonly slot: VmSlot;
  readonly vm: MicroVm;
  readonly link: GuestLink;
  readonly disk: Disk;
  /** The restore, until all memory is there; absent after a boot. Never rejects. */
  readonly loading?: Promise<Served | DormouseError>;
}
