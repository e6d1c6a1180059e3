import type { FileEntry, FileType } from '@dormouse/contracts';
import { type FileEntry as HostFileEntry, FileType as HostFileType } from '@dormouse/host-api';

/** A file as /v1 shows it. */
export function presentFile(entry: HostFileEntry): FileEntry {
  return {
    name: entry.name,
    path: entry.path,
    type: fileType(entry.type) ?? 'other',
    target_type: entry.type === HostFileType.SYMLINK ? fileType(entry.targetType) : null,
    symlink_target: entry.symlinkTarget === '' ? null : entry.symlinkTarget,
    size: Number(entry.size),
    mode: (entry.mode & 0o7777).toString(8).padStart(4, '0'),
    uid: entry.uid,
    gid: entry.gid,
    owner: entry.owner,
    group: entry.group,
    modified_at: new Date(Number(entry.modifiedAtMs)).toISOString(),
  };
}

function fileType(type: HostFileType): FileType | null {
  switch (type) {
    case HostFileType.FILE:
      return 'file';
    case HostFileType.DIRECTORY:
      return 'directory';
    case HostFileType.SYMLINK:
      return 'symlink';
    case HostFileType.OTHER:
      return 'other';
    case HostFileType.UNSPECIFIED:
      return null;
  }
}

/** Permission bits from their octal form; 0 leaves the choice to the host. */
export function parseMode(mode: string | undefined): number {
  return mode === undefined ? 0 : Number.parseInt(mode, 8);
}
