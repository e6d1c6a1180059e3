import { expect, test } from 'vitest';
import { ALL_PERMISSIONS, isAllowed, maySetRole, ROLES, roleOfKey } from './index.js';

test('the whole table: who may do what', () => {
  const table = Object.fromEntries(
    ALL_PERMISSIONS.map((permission) => [
      permission,
      ROLES.map((role) => (isAllowed(role, permission) ? role : '-')).join(' '),
    ]),
  );
  expect(table).toEqual({
    'resources.use': 'owner admin member',
    'team.read': 'owner admin member',
    'team.rename': 'owner admin -',
    'members.read': 'owner admin member',
    'members.add': 'owner admin -',
    'members.change_role': 'owner admin -',
    'members.remove': 'owner admin -',
    'members.leave': 'owner admin member',
    'api_keys.read': 'owner admin member',
    'api_keys.create': 'owner admin member',
    'api_keys.delete_own': 'owner admin member',
    'api_keys.delete_any': 'owner admin -',
    'audit.read': 'owner admin -',
    'webhooks.manage': 'owner admin -',
  });
});

test('only owners decide about owners, and members about nobody', () => {
  const may = (actor: 'owner' | 'admin' | 'member') => ROLES.filter((role) => maySetRole(actor, role));
  expect([may('owner'), may('admin'), may('member')]).toEqual([
    ['owner', 'admin', 'member'],
    ['admin', 'member'],
    [],
  ]);
});

test('a key is never an owner', () => {
  expect(ROLES.map(roleOfKey)).toEqual(['admin', 'admin', 'member']);
});
