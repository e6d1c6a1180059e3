/** What a member of a team may be. */
export type Role = 'owner' | 'admin' | 'member';

/** The most powerful first. */
export const ROLES: readonly Role[] = ['owner', 'admin', 'member'];

/** Something that can be allowed or not. */
export type Permission =
  | 'resources.use'
  | 'team.read'
  | 'team.rename'
  | 'members.read'
  | 'members.add'
  | 'members.change_role'
  | 'members.remove'
  | 'members.leave'
  | 'api_keys.read'
  | 'api_keys.create'
  | 'api_keys.delete_own'
  | 'api_keys.delete_any'
  | 'audit.read'
  | 'webhooks.manage';

/**
 * Who may do what in a team. Sandboxes, snapshots, templates and one's own keys are everybody's; people and other
 * people's keys are the business of owners and admins.
 */
const PERMISSIONS: Readonly<Record<Permission, readonly Role[]>> = {
  /** Everything about sandboxes, snapshots and templates. */
  'resources.use': ['owner', 'admin', 'member'],
  'team.read': ['owner', 'admin', 'member'],
  'team.rename': ['owner', 'admin'],
  'members.read': ['owner', 'admin', 'member'],
  'members.add': ['owner', 'admin'],
  'members.change_role': ['owner', 'admin'],
  'members.remove': ['owner', 'admin'],
  'members.leave': ['owner', 'admin', 'member'],
  'api_keys.read': ['owner', 'admin', 'member'],
  'api_keys.create': ['owner', 'admin', 'member'],
  'api_keys.delete_own': ['owner', 'admin', 'member'],
  'api_keys.delete_any': ['owner', 'admin'],
  'audit.read': ['owner', 'admin'],
  /** They tell others what the team does. */
  'webhooks.manage': ['owner', 'admin'],
};

/** All there is to be allowed. */

export const ALL_PERMISSIONS: readonly Permission[] = Object.keys(PERMISSIONS) as Permission[];

/** Whether a role includes a permission. */
export function isAllowed(role: Role, permission: Permission): boolean {
  return PERMISSIONS[permission].includes(role);
}

/**
 * Whether somebody may give this role, take it, or remove who has it. Only owners decide about owners: an admin cannot
 * become one, nor put one out.
 */
export function maySetRole(actor: Role, role: Role): boolean {
  return role === 'owner' ? actor === 'owner' : isAllowed(actor, 'members.change_role');
}

/**
 * What a key may do whose maker has this role: a key that leaks must not cost anybody the team, so it never acts as
 * an owner.
 */
export function roleOfKey(maker: Role): Role {
  return maker === 'owner' ? 'admin' : maker;
}
