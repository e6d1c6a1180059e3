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
	/* The child's pid, before it runs its first instruction; 0: there is none yet. */
	volatile pid_t born;
	/* Out. Descriptors are ours, non-blocking; -1: none. */
	pid_t pid;
	int terminal_fd;
	int stdin_fd, stdout_fd, stderr_fd;
	/* Written by the child, which shares our memory until exec. */
	volatile int stage;      /* enum spawn_stage */
	volatile int error;
};

/* False: stage and error say why, and nothing is left open. The main thread reaps the child all the same. */
bool spawn(struct spawn *spawn);
/* Main thread: whether `pid`, seen ended, may be what this spawn has started or tried to. */
bool spawn_may_be(const struct spawn *spawn, pid_t pid);

#endif
