import { createRequire } from 'node:module';
import { DormouseError, fromUnknown } from '@dormouse/errors';
import { HostService } from '@dormouse/host-api';
import {
  acceleratorFor,
  canChangeUser,
  detectKvm,
  findKernel,
  type HostConfig,
  type HostGuard,
  installHostGuard,
  type Kernel,
  MetricsLoop,
  QemuDriver,
  qemuVersion,
  SandboxHost,
  VM_UIDS,
} from '@dormouse/sandbox';
import { startTracing } from '@dormouse/telemetry';
import { type Logger, pino } from 'pino';
import { type Configuration, readConfiguration } from './configuration.js';
import { prepareDataDirectory } from './data-directory.js';
import { HostFacts, hostId } from './host-facts.js';
import { createHostMetrics } from './metrics/host-metrics.js';
import { RpcBoundary } from './rpc/boundary.js';
import { hostService } from './rpc/host-service.js';
import { listenRpc, refuseSecondAgent } from './rpc-server.js';
import { stopRequested } from './stop-request.js';

const COLLECT_EVERY_MS = 60_000;

const { version } = createRequire(import.meta.url)('../package.json') as { version: string };

async function main(): Promise<void> {
  const configuration = readConfiguration(process.env);
  const log = pino(
    { name: 'host-agent', level: configuration.logLevel },
    pino.destination({ fd: 2, sync: true }),
  );
  const tracing = await startTracing({
    serviceName: 'dormouse-host-agent',
    version,
    environment: process.env,
    log,
  });
  // They may hold a key, which is no business of the processes that are started from here, those of VMs above all.
  for (const name of Object.keys(process.env)) if (/^OTEL_.*_HEADERS$/.test(name)) delete process.env[name];
  await prepareDataDirectory(configuration.dataDir);
  await refuseSecondAgent(configuration.socketPath);
  const kernel = await findKernel(configuration.assetsDir, configuration.agentPath);
  if (kernel === undefined) {
    throw new DormouseError('setup_failed', `there is no guest kernel in ${configuration.assetsDir}`, {
      suggestion: '`./dormouse up` prepares it.',
    });
  }
  const config = await hostConfig(configuration, kernel);
  const guard = await guardHost(configuration, log);
  const id = await hostId(configuration.dataDir);
  const metrics = createHostMetrics(id);
  const host = await SandboxHost.open({
    config,
    driver: new QemuDriver(),
    accelerator: config.accelerator,
    kernel,
    log,
    observer: metrics.observer,
    standbys: configuration.standbys,
    readySandboxes: configuration.readySandboxes,
    freezeTemplates: configuration.frozenTemplate !== undefined,
  });
  if (configuration.frozenTemplate !== undefined)
    await freezeTemplate(host, configuration.frozenTemplate, log);
  const facts = new HostFacts(
    id,
    { agent: version, qemu: (await qemuVersion()) ?? 'none', kernel: kernel.version },
    config.accelerator,
  );
  const server = await listenRpc(configuration.socketPath, (router) => {
    router.service(
      HostService,
      hostService(host, facts, metrics, configuration.assetsDir, new RpcBoundary(log)),
    );
  });
  process.stdout.write(
    `${JSON.stringify({ ready: true, socket: configuration.socketPath, accelerator: config.accelerator })}\n`,
  );
  log.info({ accelerator: config.accelerator, sandboxes: host.list().length }, 'ready');

  const back = host.resumeAll().then((count) => {
    if (count > 0) log.info({ count }, `${count} sandboxes that were paused with the host are back`);
  });
  host.startExpiry();
  const sampling = new MetricsLoop({
    list: () => host.list(),
    log,
    everyMs: configuration.metricsIntervalMs,
  });
  sampling.start();
  const collecting = setInterval(() => void host.collect(), COLLECT_EVERY_MS);

  const request = await stopRequested(configuration.supervised);
  clearInterval(collecting);
  await back;
  log.info({ request }, 'stopping');
  await Promise.all([host.stopExpiry(), sampling.close()]);
  await server.close();
  if (request === 'shut-down') {
    const { paused, shutDown } = await host.pauseAll('shut down with the host agent');
    log.info({ paused, shutDown }, `${paused} running sandboxes were paused, ${shutDown} shut down`);
    await guard?.remove();
  }
  await host.release();
  // Nothing is under way any more, so what nobody refers to is nobody's.
  if (request === 'shut-down') await host.collect(0);
  await tracing.stop();
}

/** Without the frozen moment sandboxes are booted: slower, and no reason not to work. */
async function freezeTemplate(host: SandboxHost, name: string, log: Logger): Promise<void> {
  try {
    const startedMs = performance.now();
    const done = await host.freezeTemplate(name);
    if (done === 'frozen') {
      log.info({ name, ms: Math.round(performance.now() - startedMs) }, 'froze the template');
    }
    // Nobody has to wait for what only saves time later.
    void host
      .warmUp(name)
      .catch((error: unknown) => log.warn({ err: fromUnknown(error) }, 'nothing stands by'));
  } catch (error) {
    log.warn({ name, err: fromUnknown(error) }, 'the template was not frozen; its sandboxes are booted');
  }
}

async function hostConfig(configuration: Configuration, kernel: Kernel): Promise<HostConfig> {
  const { dataDir, assetsDir, memoryDir, agentPath } = configuration;
  const accelerator =
    configuration.accelerator === 'auto'
      ? acceleratorFor(await detectKvm(assetsDir, kernel))
      : configuration.accelerator;
  return { dataDir, assetsDir, memoryDir, agentPath, accelerator };
}

/** Without the rules guests can reach what listens on the host's loopback: said loudly, but no reason not to work. */
async function guardHost(configuration: Configuration, log: Logger): Promise<HostGuard | undefined> {
  if (!canChangeUser()) {
    log.warn('not root: guests run as this user and can reach services that listen on this host');
    return undefined;
  }
  try {
    return await installHostGuard(configuration.dataDir, VM_UIDS);
  } catch (error) {
    log.warn({ err: fromUnknown(error) }, 'guests can reach services that listen on this host');
    return undefined;
  }
}

main().then(
  () => process.exit(0),
  (thrown: unknown) => {
    const error = fromUnknown(thrown);
    const { code, message, suggestion } = error;
    process.stderr.write(
      `${JSON.stringify({ level: 60, name: 'host-agent', code, msg: message, suggestion })}\n`,
    );
    process.exit(error.exitCode);
  },
);
