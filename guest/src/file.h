/* What the operations on files have in common: a job with a user and a path. Worker threads. */
#ifndef DORMOUSE_FILE_H
#define DORMOUSE_FILE_H

#include "entry.h"
#include "job.h"
#include "path.h"
#include "users.h"

struct file_job {
	struct job job;
	uint8_t *arguments;      /* a copy of the OPEN's, strings point into it */
	struct reader reader;
	const char *user_name;
	const char *request_path;
	bool resolved;
	struct user user;
	char path[MAX_PATH_BYTES + 1];
	struct owner_names names;
};

/*
 * Allocates a job of `size` bytes (struct file_job first) with a copy of the
 * arguments, and reads user and path. NULL: the stream has been closed.
 */
void *file_job_new(size_t size, const struct job_ops *ops, struct stream *stream, struct reader *arguments);
/* Starts it when all arguments were well formed, else closes the stream. */
void file_job_start(struct file_job *file, struct stream *stream);
void file_job_dispose(struct job *job);
/* For step(): finds the user and the absolute path, once; false: the result says why. */
bool file_job_resolve(struct file_job *file);
/* The absolute form of another path of the request; false: the result says why. */
bool file_job_expand(struct file_job *file, const char *path, char out[MAX_PATH_BYTES + 1]);
/* Sends the ENTRY of `path` and ends with ok, or with why there is none. */
enum job_next file_job_entry(struct file_job *file, const char *path);

#endif
