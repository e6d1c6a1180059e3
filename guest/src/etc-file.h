/*
 * The few files of the workload's that the agent changes too: read whole or not
 * at all, replaced whole or not at all. Worker threads; they wait for the disk.
 */
#ifndef DORMOUSE_ETC_FILE_H
#define DORMOUSE_ETC_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

/* More than this is not read, and so not replaced. */
#define MAX_ETC_FILE_BYTES (16u << 20)

struct etc_file {
	bool exists;
	struct stat status;      /* when it exists */
	char *text;              /* may hold any bytes, and is terminated */
	size_t length;
};

/*
 * Reads the regular file `path`, which is relative to `root`. A missing file is
 * read as an empty one. Returns 0 or an errno: ELOOP for a symbolic link,
 * EISDIR for a directory, EINVAL for anything else but a regular file. After 0
 * the caller frees `text`.
 */
int etc_file_read(int root, const char *path, struct etc_file *file);
/* The same, but goes where a symbolic link leads. */
int etc_file_read_target(int root, const char *path, struct etc_file *file);
/*
 * Replaces the file read from `path` (with its owner and mode; a new file is
 * root's, with `mode`): a temporary file beside it is written, synced and
 * renamed. Makes the directory when it is missing. Returns 0 or an errno, and
 * then `path` is as it was: EAGAIN when it has changed since it was read.
 */
int etc_file_replace(int root, const char *path, const struct etc_file *was, const char *text, size_t length, mode_t mode);

#endif
