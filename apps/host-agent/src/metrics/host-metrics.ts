import { HOST_STATES, type HostFigures, type HostObserver } from '@dormouse/sandbox';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { PageRequestHistogram } from './page-request-histogram.js';

const MS_PER_SECOND = 1_000;
const US_PER_SECOND = 1_000_000;
/** Seconds; from what is done in memory to a boot under emulation. */
const DURATION_BUCKETS = [0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300];
/** Bytes; from a guest that has done nothing to one that has filled its memory. */
const SIZE_BUCKETS = [64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304].map(
  (kib) => kib * 1024,
);
/** What a host tells of itself in figures. */
export interface HostMetrics {
  /** To be given to the host when it is opened. */
  readonly observer: HostObserver;
  /** All of it, in Prometheus's text format, each sample labelled with the host. @param figures what there is now */
  expose(figures: HostFigures): Promise<string>;
}

/** Metrics of one host, in a registry of their own. @param hostId value of the label `host` */
export function createHostMetrics(hostId: string): HostMetrics {
  const registry = new Registry();
  registry.setDefaultLabels({ host: hostId });
  const registers = [registry];
  const operations = new Histogram({
    name: 'dormouse_host_operation_duration_seconds',
    help: 'Pauses, checkpoints, restores and attempts to boot',
    labelNames: ['operation', 'outcome'] as const,
    buckets: DURATION_BUCKETS,
    registers,
  });
  const phases = new Histogram({
    name: 'dormouse_host_phase_duration_seconds',
    help: 'Phases of pauses, checkpoints, restores and boots that succeeded',
    labelNames: ['operation', 'phase'] as const,
    buckets: DURATION_BUCKETS,
    registers,
  });
  const pageRequests = new Counter({
    name: 'dormouse_host_page_requests_total',
    help: 'Page requests of guests that woke',
    registers,
  });
  const pagesBytes = new Counter({
    name: 'dormouse_host_restored_bytes_total',
    help: 'Bytes sent to guests that woke',
    registers,
  });
  const pageWaits = new PageRequestHistogram(registry);
  const written = new Histogram({
    name: 'dormouse_host_generation_written_bytes',
    help: 'What generations were written with: memory that differs from the parent, packed, with its map; disk layer; devices',
    labelNames: ['part'] as const,
    buckets: SIZE_BUCKETS,
    registers,
  });
  new Counter({
    name: 'dormouse_host_agent_cpu_seconds_total',
    help: 'CPU time of the host agent',
    registers,
    collect() {
      const { user, system } = process.cpuUsage();
      this.reset();
      this.inc((user + system) / US_PER_SECOND);
    },
  });
  new Gauge({
    name: 'dormouse_host_agent_resident_memory_bytes',
    help: 'Memory of the host agent',
    registers,
    collect() {
      this.set(process.memoryUsage.rss());
    },
  });
  const show = createGauges(registry);
  return {
    expose: (figures) => {
      show(figures);
      return registry.metrics();
    },
    observer: {
      operation: (operation, outcome, ms) => operations.observe({ operation, outcome }, ms / MS_PER_SECOND),
      phase: (operation, phase, ms) => phases.observe({ operation, phase }, ms / MS_PER_SECOND),
      committed: ({ artifacts }) => {
        const bytesOf = (name: keyof typeof artifacts) => artifacts[name]?.bytes ?? 0;
        written.observe({ part: 'disk' }, bytesOf('disk.qcow2'));
        if (artifacts['memory.map'] === undefined) return;
        written.observe({ part: 'memory' }, bytesOf('memory.map') + bytesOf('memory.pages'));
        written.observe({ part: 'devices' }, bytesOf('device.bin'));
      },
      served: ({ requests, bytesSent, requestLatencyUs }) => {
        pageRequests.inc(requests);
        pagesBytes.inc(bytesSent);
        pageWaits.add(requestLatencyUs);
      },
    },
  };
}

/** Gauges of what there is, and how to set them. */
function createGauges(registry: Registry): (figures: HostFigures) => void {
  const registers = [registry];
  const sandboxes = new Gauge({
    name: 'dormouse_host_sandboxes',
    help: 'Sandboxes on the host, by state',
    labelNames: ['state'] as const,
    registers,
  });
  const generations = new Gauge({
    name: 'dormouse_host_generations',
    help: 'Generations on the disk',
    registers,
  });
  const generationBytes = new Gauge({
    name: 'dormouse_host_generations_bytes',
    help: 'Bytes of all generations on the disk',
    registers,
  });
  const waiting = new Gauge({
    name: 'dormouse_host_waiting',
    help: 'What was started ahead and waits to be needed',
    labelNames: ['kind'] as const,
    registers,
  });
  const busy = new Gauge({
    name: 'dormouse_host_page_servers_busy',
    help: 'Page servers that capture or serve memory',
    registers,
  });
  return (figures) => {
    // Those without sandboxes say zero.
    for (const state of HOST_STATES) sandboxes.set({ state }, figures.sandboxes.get(state) ?? 0);
    generations.set(figures.generations.count);
    generationBytes.set(figures.generations.bytes);
    waiting.set({ kind: 'standby' }, figures.waiting.standby);
    waiting.set({ kind: 'ready' }, figures.waiting.ready);
    waiting.set({ kind: 'page-server' }, figures.waiting.pageServer);
    busy.set(figures.busyPageServers);
  };
}
