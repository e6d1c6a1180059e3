/*
 * Files and devices of the kernel's that the agent needs while a workload runs.
 * They are opened once, before it runs, because it may cover or replace any path.
 */
#ifndef DORMOUSE_KERNEL_FILES_H
#define DORMOUSE_KERNEL_FILES_H

#include <stdbool.h>
#include <stddef.h>

enum kernel_file {
	KERNEL_PROC,       /* the directory, for openat() */
	KERNEL_MEMINFO,
	KERNEL_STAT,
	KERNEL_BOOT_ID,
	KERNEL_RANDOM,
	KERNEL_LOG,
	KERNEL_NULL,
	KERNEL_TERMINALS,  /* each kernel_terminal_open() is a new terminal */
	KERNEL_FILE_COUNT,
};

/* Best effort: what cannot be opened stays -1. */
void kernel_files_open(void);
bool kernel_files_opened(void);
/* The descriptor, which belongs to this file; -1: there is none. Any thread. */
int kernel_file(enum kernel_file file);
/* Reads from the start, up to size - 1 bytes, and terminates them; "" and false when it cannot. */
bool kernel_file_read(enum kernel_file file, char *out, size_t size);
/* The master of a new terminal, non-blocking; -1 with errno. */
int kernel_terminal_open(void);

#endif
