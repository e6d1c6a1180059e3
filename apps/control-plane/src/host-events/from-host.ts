import { type HostEvent, HostEventKind } from '@dormouse/host-api';
import type { EventType, HostEventRecord } from '@dormouse/store';
import { because } from '../reconciler/decide.js';

interface Meaning {
  readonly type: EventType;
  /** Where the sandbox is since then. */
  readonly ledTo: HostEventRecord['ledTo'];
}

/** What a kind of event means to us; undefined for one that this version does not know. */
function meaningOf(kind: HostEventKind): Meaning | undefined {
  switch (kind) {
    case HostEventKind.AUTO_PAUSED:
      return { type: 'sandbox.auto_paused', ledTo: 'paused' };
    case HostEventKind.KILLED:
      return { type: 'sandbox.killed', ledTo: 'stopped' };
    case HostEventKind.PAUSE_FAILED:
      return { type: 'sandbox.auto_pause_failed', ledTo: null };
    case HostEventKind.STOPPED:
      return { type: 'sandbox.stopped', ledTo: 'stopped' };
    case HostEventKind.RESTORED_AGAIN:
      return { type: 'sandbox.restored_again', ledTo: null };
    case HostEventKind.REBOOTED:
      return { type: 'sandbox.rebooted', ledTo: null };
    case HostEventKind.STAYS_PAUSED:
      return { type: 'sandbox.stays_paused', ledTo: 'paused' };
    case HostEventKind.PAUSED_WITH_HOST:
      return { type: 'sandbox.paused_with_host', ledTo: 'paused' };
    case HostEventKind.RESUMED_WITH_HOST:
      return { type: 'sandbox.resumed_with_host', ledTo: null };
    case HostEventKind.VM_ENDED:
      return { type: 'sandbox.vm_ended', ledTo: 'paused' };
    default:
      return undefined;
  }
}

/** What a host tells of, as it is recorded; undefined for what this version does not know. */
export function fromHost(event: HostEvent): HostEventRecord | undefined {
  const meaning = meaningOf(event.kind);
  if (meaning === undefined) return undefined;
  const ended = event.kind === HostEventKind.STOPPED;
  const reason = ended ? because('its virtual machine ended', event.reason) : event.reason;
  return {
    ...meaning,
    number: Number(event.number),
    sandboxId: event.sandboxId,
    generation: Number(event.generation),
    at: new Date(Number(event.atMs)),
    reason: reason === '' ? null : reason,
    key: event.key === '' ? null : event.key,
  };
}
