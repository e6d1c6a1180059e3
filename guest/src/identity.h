/*
 * The files that tell one copy of the machine from others: host name, name
 * server, machine id, SSH host keys. The machine works without any of them, so a
 * file that cannot be written is a warning.
 */
#ifndef DORMOUSE_IDENTITY_H
#define DORMOUSE_IDENTITY_H

#include <stdbool.h>

#include "loop.h"
#include "stream.h"

#define MAX_HOSTNAME_BYTES 64u
#define MAX_NAME_SERVER_BYTES 64u
#define MACHINE_ID_DIGITS 32u
#define MAX_WARNING_BYTES 1024u

/* Empty members stay as they are. */
struct identity {
	char name[MAX_HOSTNAME_BYTES + 1];
	char name_server[MAX_NAME_SERVER_BYTES + 1];
	/* A new one also removes the SSH host keys. */
	char machine_id[MACHINE_ID_DIGITS + 1];
};

/* One line for each file that could not be written, "" when all could. */
struct warnings {
	char text[MAX_WARNING_BYTES];
};

/* Writes the files below the directory `root`. */
void identity_apply(int root, const struct identity *identity, struct warnings *warnings);

/* A wait until the files are written. Main thread; embedded in its owner. */
struct identity_wait {
	void (*done)(struct identity_wait *wait, const char *warnings);
	struct timer timer;
	struct identity_job *job;
};

/*
 * Main thread: writes the files on the one thread that ever does, in the order
 * of these calls. done() is called once: when they are written, or after
 * `timeout_ms` with a warning, and then the writing goes on for as long as it takes.
 */
void identity_write(struct identity_wait *wait, const struct identity *identity, unsigned timeout_ms);
/* Main thread: done() is not called any more; the writing goes on. */
void identity_forget(struct identity_wait *wait);
/* The same for a stream: it is closed as ok, and its message has the warnings. */
void identity_answer(struct stream *stream, const struct identity *identity, unsigned timeout_ms);

/* Where the files lie: "/", another for tests. */
extern const char *identity_root;

#endif
