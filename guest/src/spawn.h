/* Starting one program: credentials, terminal or pipes, and what went wrong. Worker threads. */
#ifndef DORMOUSE_SPAWN_H
#define DORMOUSE_SPAWN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "users.h"

/* Where a start failed; 0: it did not. */
enum spawn_stage { SPAWN_OK, SPAWN_SETUP, SPAWN_CWD, SPAWN_EXEC };

struct spawn {
	/* In. */
	const struct user *user;
	const gid_t *groups;
	int group_count;
	const char *cwd;
	bool cwd_optional;       /* "/" serves when there is no cwd */
	char *const *argv;
	char *const *env;
	const char *path;        /* the environment's PATH */
	bool pty;
	bool stdin_open;
	bool unlisted;
	uint16_t cols, rows;
	/* Out. Descriptors are ours, non-blocking; -1: none. */
	pid_t pid;
	int terminal_fd;
	int stdin_fd, stdout_fd, stderr_fd;
	/* Written by the child, which shares our memory until exec. */
	volatile int stage;      /* enum spawn_stage */
	volatile int error;
};

/* False: stage and error say why, and nothing is left open. */
bool spawn(struct spawn *spawn);

#endif
