import { describe, expect, test } from 'vitest';
import { DEFAULT_AGENT_PATH, DEFAULT_RECIPES_DIR, readConfiguration } from './configuration.js';

describe('the configuration', () => {
  test('of an empty environment is the one of an installed host', () => {
    expect(readConfiguration({})).toEqual({
      dataDir: '/var/lib/dormouse',
      assetsDir: '/var/lib/dormouse',
      socketPath: '/var/lib/dormouse/host-agent.sock',
      memoryDir: '/dev/shm/dormouse',
      agentPath: DEFAULT_AGENT_PATH,
      accelerator: 'auto',
      logLevel: 'info',
      supervised: false,
      standbys: 1,
      readySandboxes: 1,
      frozenTemplate: 'base',
      metricsIntervalMs: 10_000,
    });
    expect(DEFAULT_AGENT_PATH).toMatch(/\/guest\/build\/dormouse-guest$/);
    expect(DEFAULT_RECIPES_DIR).toMatch(/\/images$/);
  });

  test('takes everything from the environment, paths made absolute', () => {
    const configuration = readConfiguration({
      DORMOUSE_DATA: 'data',
      DORMOUSE_ASSETS_DIR: '/srv/assets/',
      DORMOUSE_HOST_SOCKET: '/run/agent.sock',
      DORMOUSE_SHM_DIR: '/mnt/huge',
      DORMOUSE_GUEST_AGENT: './agent',
      DORMOUSE_ACCELERATOR: 'tcg',
      DORMOUSE_LOG_LEVEL: 'silent',
      DORMOUSE_SUPERVISED: '1',
      DORMOUSE_STANDBYS: '3',
      DORMOUSE_READY_SANDBOXES: '2',
      DORMOUSE_FREEZE_TEMPLATE: '',
      DORMOUSE_METRICS_INTERVAL_SEC: '0',
      PATH: '/bin',
    });
    expect(configuration).toEqual({
      dataDir: `${process.cwd()}/data`,
      assetsDir: '/srv/assets',
      socketPath: '/run/agent.sock',
      memoryDir: '/mnt/huge/dormouse',
      agentPath: `${process.cwd()}/agent`,
      accelerator: 'tcg',
      logLevel: 'silent',
      supervised: true,
      standbys: 3,
      readySandboxes: 2,
      frozenTemplate: undefined,
      metricsIntervalMs: 0,
    });
  });

  test('keeps assets and socket with the data unless told otherwise', () => {
    expect(readConfiguration({ DORMOUSE_DATA: '/data' })).toMatchObject({
      assetsDir: '/data',
      socketPath: '/data/host-agent.sock',
    });
  });

  test.each([
    ['DORMOUSE_ACCELERATOR', 'hvf'],
    ['DORMOUSE_LOG_LEVEL', 'loud'],
    ['DORMOUSE_SUPERVISED', 'yes'],
    ['DORMOUSE_STANDBYS', '-1'],
    ['DORMOUSE_STANDBYS', 'many'],
    ['DORMOUSE_DATA', ''],
    ['DORMOUSE_HOST_SOCKET', ''],
  ])('with %s=%j is refused by that name', (name, value) => {
    expect(() => readConfiguration({ [name]: value })).toThrow(
      expect.objectContaining({
        code: 'invalid_request',
        message: expect.stringMatching(new RegExp(`^the configuration is wrong: .*\\n.*at ${name}$`)),
      }),
    );
  });

  test('refuses a data directory whose sockets would have longer names than the kernel takes', () => {
    const longest = `/${'d'.repeat(65)}`;
    expect(readConfiguration({ DORMOUSE_DATA: longest }).dataDir).toBe(longest);
    expect(`${longest}/vms/vm${'x'.repeat(16)}/run/incoming.sock`).toHaveLength(107);
    expect(() => readConfiguration({ DORMOUSE_DATA: `${longest}d` })).toThrow(
      expect.objectContaining({
        code: 'invalid_request',
        message: `the data directory's path is longer than 66 bytes: ${longest}d`,
        suggestion: 'Sockets below it would have names the kernel does not take. Choose a shorter path.',
      }),
    );
  });

  test('counts bytes, not characters', () => {
    expect(() => readConfiguration({ DORMOUSE_DATA: `/${'ä'.repeat(33)}` })).toThrow('longer than 66 bytes');
  });
});
