/* Small whole files of the kernel and the initramfs. */
#ifndef DORMOUSE_TEXTFILE_H
#define DORMOUSE_TEXTFILE_H

#include <stdbool.h>
#include <stddef.h>

/* Reads up to size - 1 bytes and terminates them; false when it cannot be read. */
bool textfile_read(const char *path, char *out, size_t size);
/* The same without the newline at the end. */
bool textfile_read_line(const char *path, char *out, size_t size);
/* Writes an existing file (/proc, /sys) with one call. */
bool textfile_set(const char *path, const char *text);

#endif
