import { z } from 'zod';
import { NextCursor, PageQuery } from './paging.js';
import { FileMode, GuestPath, GuestUser, queryInteger, Timestamp } from './primitives.js';

/** Deepest directory listing. */
export const MAX_LIST_DEPTH = 32;

export const FileType = z.enum(['file', 'directory', 'symlink', 'other']);
export type FileType = z.infer<typeof FileType>;

export const FileEntry = z
  .object({
    name: z.string().meta({ description: 'Last part of the path', example: 'data.bin' }),
    path: z.string().meta({ description: 'Absolute path', example: '/tmp/data.bin' }),
    type: FileType.meta({ description: 'Of the entry itself', example: 'file' }),
    target_type: FileType.nullable().meta({
      description: 'Of what a symlink finally leads to; null when it leads nowhere, or for anything else',
      example: null,
    }),
    symlink_target: z
      .string()
      .nullable()
      .meta({ description: 'What a symlink says; null for anything else', example: null }),
    size: z.int().meta({ description: 'Bytes', example: 1024 }),
    mode: FileMode,
    uid: z.int().meta({ description: 'Id of the owner', example: 1000 }),
    gid: z.int().meta({ description: 'Id of the group', example: 1000 }),
    owner: z.string().meta({ description: 'Name of the owner; the id when it has none', example: 'user' }),
    group: z.string().meta({ description: 'Name of the group; the id when it has none', example: 'user' }),
    modified_at: Timestamp,
  })
  .meta({ id: 'FileEntry' });
export type FileEntry = z.infer<typeof FileEntry>;

/** Query of GET …/files and of …/files/stream/read. */
export const ReadFileQuery = z.object({ path: GuestPath, user: GuestUser.optional() });

/** Query of PUT …/files and of …/files/stream/write. */
export const WriteFileQuery = ReadFileQuery.extend({
  mode: FileMode.optional().meta({ description: 'Permission bits of a new file; default 0644' }),
});

/** Query of DELETE …/files. */
export const RemoveFileQuery = ReadFileQuery.extend({
  recursive: z
    .enum(['true', 'false'])
    .optional()
    .meta({ description: 'Remove a directory and what is in it' }),
});

/** Body of POST …/files/read. */
export const ReadFileRequest = z
  .strictObject({ path: GuestPath, user: GuestUser.optional() })
  .meta({ id: 'ReadFileRequest' });
export type ReadFileRequest = z.input<typeof ReadFileRequest>;

/** Answer of PUT …/files, POST …/files/write and …/files/stream/write. */
export const WriteFileResult = z.object({ entry: FileEntry }).meta({ id: 'WriteFileResult' });
export type WriteFileResult = z.infer<typeof WriteFileResult>;

/** Query of GET …/dir. */
export const ListDirectoryQuery = PageQuery.extend({
  path: GuestPath,
  user: GuestUser.optional(),
  depth: queryInteger(1, MAX_LIST_DEPTH)
    .optional()
    .meta({ type: 'integer', minimum: 1, maximum: MAX_LIST_DEPTH, description: 'Levels to list; default 1' }),
});

export const DirectoryListing = z
  .object({ entries: z.array(FileEntry).meta({ description: 'One page, by path' }), next_cursor: NextCursor })
  .meta({ id: 'DirectoryListing' });
export type DirectoryListing = z.infer<typeof DirectoryListing>;

/** Body of POST …/dir. */
export const MakeDirectoryRequest = z
  .strictObject({
    path: GuestPath,
    user: GuestUser.optional(),
    mode: FileMode.optional().meta({ description: 'Permission bits; default 0755' }),
    parents: z
      .boolean()
      .default(true)
      .meta({ description: 'Make missing parents, and be content when it exists already' }),
  })
  .meta({ id: 'MakeDirectoryRequest' });
export type MakeDirectoryRequest = z.input<typeof MakeDirectoryRequest>;

export const MakeDirectoryResult = z.object({ entry: FileEntry }).meta({ id: 'MakeDirectoryResult' });
export type MakeDirectoryResult = z.infer<typeof MakeDirectoryResult>;
