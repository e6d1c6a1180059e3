import { z } from 'zod';

/** Names people choose (templates, snapshots, projects): one path segment that can never climb out of a folder. */
export const NAME_PATTERN: RegExp = /^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$/;

/** Sandbox ids: a DNS label, so that `<port>-<id>.<domain>` works. */
export const SANDBOX_ID_PATTERN: RegExp = /^sb[a-z0-9]{20}$/;

/** Snapshot ids. */
export const SNAPSHOT_ID_PATTERN: RegExp = /^sn[a-z0-9]{20}$/;

/** An environment variable's name as POSIX shells accept it. */
const ENV_NAME_PATTERN = /^[a-zA-Z_][a-zA-Z0-9_]{0,255}$/;

/** Longest path Linux accepts (PATH_MAX). */
const MAX_PATH_BYTES = 4096;

const withoutNul = (value: string): boolean => !value.includes('\0');
const NUL_MESSAGE = 'must not contain a NUL byte';

export const Name = z
  .string()
  .regex(
    NAME_PATTERN,
    'must be 1 to 64 letters, digits, dots, dashes or underscores, beginning with a letter or digit',
  )
  .meta({ description: 'A name: letters, digits, `.`, `_`, `-`; at most 64', example: 'base' });

export const SandboxId = z
  .string()
  .regex(SANDBOX_ID_PATTERN, 'must be "sb" followed by 20 lower-case letters or digits')
  .meta({ description: 'Id of a sandbox', example: 'sb4f9k2m7q1x8c3v6b0n5z' });

/** RFC 3339, UTC, milliseconds. */
export const Timestamp = z.iso
  .datetime()
  .meta({ description: 'RFC 3339, UTC', example: '2026-01-31T09:30:00.000Z' });

export const Envs = z
  .record(
    z
      .string()
      .regex(
        ENV_NAME_PATTERN,
        'must be a variable name: letters, digits, underscores, not beginning with a digit',
      ),
    z.string().max(131_072).refine(withoutNul, NUL_MESSAGE),
  )
  .meta({ description: 'Environment variables', example: { LANG: 'C.UTF-8' } });

export const Metadata = z
  .record(z.string().min(1).max(128), z.string().max(1024).refine(withoutNul, NUL_MESSAGE))
  .refine((value) => Object.keys(value).length <= 64, 'must not have more than 64 entries')
  .refine((value) => Object.keys(value).every(withoutNul), NUL_MESSAGE)
  .meta({ description: 'Your own labels; lists can be filtered by them', example: { purpose: 'ci' } });

export const GuestPath = z
  .string()
  .min(1, 'must not be empty')
  .refine(withoutNul, NUL_MESSAGE)
  .refine((path) => new TextEncoder().encode(path).length < MAX_PATH_BYTES, 'must be shorter than 4096 bytes')
  .meta({
    description: 'Path in the sandbox: absolute, or relative to the home of the user',
    example: '/tmp/data.bin',
  });

export const GuestUser = z
  .string()
  .regex(/^[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,31}$/, 'must be a user name')
  .meta({ description: 'User in the sandbox; the template decides the default', example: 'user' });

/** Permission bits as `chmod` takes them. */
export const FileMode = z
  .string()
  .regex(/^0?[0-7]{3,4}$/, 'must be octal permission bits such as 0644')
  .meta({ description: 'Permission bits, octal', example: '0644' });

/** Text that ends up as a program argument. */
export const Argument = z.string().refine(withoutNul, NUL_MESSAGE);

/** A whole number in a JSON body, refused with its bounds. */
export function integer(minimum: number, maximum: number): z.ZodInt {
  const message = `must be a whole number from ${minimum} to ${maximum}`;
  return z.int(message).min(minimum, message).max(maximum, message);
}

/** A whole number in a query string. */
export function queryInteger(
  minimum: number,
  maximum: number,
): z.ZodPipe<z.ZodString, z.ZodTransform<number, string>> {
  const message = `must be a whole number from ${minimum} to ${maximum}`;
  return z.string().transform((text, context) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= minimum && value <= maximum) return value;
    context.addIssue({ code: 'custom', message });
    return z.NEVER;
  });
}
