/**
 * Who may know whom (ARCHITECTURE.md). Every package may know `errors`; nothing points up, and nobody reaches
 * into another package's inside: packages import each other by name, which leads to their `exports` only.
 */
const mayImport = {
  'packages/errors': [],
  'packages/telemetry': [],
  'packages/lifecycle': [],
  'packages/contracts': [],
  'packages/host-api': ['packages/telemetry'],
  'packages/guest-link': ['packages/telemetry'],
  'packages/vmm': [],
  'packages/rootfs': [],
  'packages/network': [],
  'packages/qemu-stream': [],
  'packages/snapshot': [],
  'packages/page-server': ['packages/qemu-stream', 'packages/snapshot'],
  'packages/auth': [],
  'packages/store': ['packages/lifecycle'],
  'packages/sandbox': [
    'packages/lifecycle',
    'packages/vmm',
    'packages/rootfs',
    'packages/guest-link',
    'packages/network',
    'packages/snapshot',
    'packages/page-server',
    'packages/telemetry',
  ],
  'packages/sdk': ['packages/contracts'],
  'apps/host-agent': ['packages/sandbox', 'packages/host-api', 'packages/telemetry'],
  'apps/control-plane': [
    'packages/lifecycle',
    'packages/store',
    'packages/auth',
    'packages/host-api',
    'packages/contracts',
    'packages/telemetry',
  ],
  'apps/cli': ['packages/sdk'],
};

/** What tests may know besides: the other end of what is tested. */
const testsMayImport = { 'apps/control-plane': ['packages/sdk'] };
const TEST = '\\.test\\.ts$';

const boundaries = Object.entries(mayImport).map(([from, to]) => ({
  name: `${from.replace('/', '-')}-knows-only-what-it-may`,
  severity: 'error',
  from: { path: `^${from}/`, ...(from in testsMayImport ? { pathNot: TEST } : {}) },
  to: {
    path: '^(packages|apps)/',
    pathNot: [from, 'packages/errors', ...to].map((dir) => `^${dir}/`),
  },
}));

const boundariesOfTests = Object.entries(testsMayImport).map(([from, more]) => ({
  name: `tests-of-${from.replace('/', '-')}-know-only-what-they-may`,
  severity: 'error',
  from: { path: `^${from}/.*${TEST}` },
  to: {
    path: '^(packages|apps)/',
    pathNot: [from, 'packages/errors', ...mayImport[from], ...more].map((dir) => `^${dir}/`),
  },
}));

const doors = Object.keys(mayImport).map((dir) => ({
  name: `${dir.replace('/', '-')}-is-entered-by-its-door`,
  severity: 'error',
  from: { path: '^(packages|apps)/', pathNot: `^${dir}/` },
  to: { path: `^${dir}/`, pathNot: `^${dir}/src/index\\.ts$` },
}));

/** Insides of packages/sandbox, from the ground up: each may know those before it. */
const storeysOfSandbox = [
  'config',
  'concurrency',
  'disk',
  'vm',
  'records',
  'pools',
  'observation',
  'environment',
  'transitions',
  'expiry',
  'metrics',
  'actor',
  'host',
];
const sandbox = 'packages/sandbox/src';
const insides = storeysOfSandbox.map((storey, level) => ({
  name: `${storey}-of-packages-sandbox-knows-only-what-it-stands-on`,
  severity: 'error',
  from: { path: `^${sandbox}/${storey}[./]`, pathNot: TEST },
  to: {
    path: `^${sandbox}/`,
    pathNot: storeysOfSandbox.slice(0, level + 1).map((below) => `^${sandbox}/${below}[./]`),
  },
}));

module.exports = {
  forbidden: [
    { name: 'no-circles', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'no-unresolvable',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    ...boundaries,
    ...boundariesOfTests,
    ...doors,
    ...insides,
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.base.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['source', 'import', 'node', 'default'],
    },
    doNotFollow: { path: 'node_modules/(?!@dormouse)' },
    exclude: { path: '(^|/)dist/' },
  },
};
