/* XATTR_GET and XATTR_SET. */
#include <errno.h>
#include <stdlib.h>
#include <sys/xattr.h>

#include "file.h"
#include "loop.h"
#include "operations.h"

/* The kernel's own limits. */
#define MAX_LIST_BYTES 65536u
#define MAX_VALUE_BYTES 65536u
#define MAX_NAME_BYTES 255u

struct attribute_job {
	struct file_job file;
	/* Get. */
	char *names;
	size_t names_bytes;
	size_t next;
	/* Set. */
	const char *name;
	uint8_t remove;
	struct bytes value;
};

/* Reads the names once; 0 or an errno. */
static int read_names(struct attribute_job *get)
{
	get->names = malloc(MAX_LIST_BYTES);
	if (!get->names)
		return ENOMEM;
	ssize_t n = listxattr(get->file.path, get->names, MAX_LIST_BYTES);
	if (n < 0)
		/* File systems without attributes have none to list. */
		return errno == EOPNOTSUPP ? 0 : errno;
	get->names_bytes = (size_t)n;
	return 0;
}

static enum job_next get_step(struct job *job)
{
	struct attribute_job *get = container_of(job, struct attribute_job, file.job);
	if (job_cancelled(job))
		return job_cancel(job);
	if (!get->names) {
		int error = file_job_resolve(&get->file) ? read_names(get) : -1;
		if (error)
			return error < 0 ? JOB_DONE : job_fail(job, error, get->file.path);
	}
	while (get->next < get->names_bytes) {
		if (!job_message_room(job))
			return JOB_WAIT;
		const char *name = get->names + get->next;
		get->next += strlen(name) + 1;
		uint8_t *value = malloc(MAX_VALUE_BYTES);
		if (!value)
			return job_fail(job, ENOMEM, get->file.path);
		ssize_t n = getxattr(get->file.path, name, value, MAX_VALUE_BYTES);
		struct packet *packet = NULL;
		if (n >= 0) {
			struct message message = message_begin(MESSAGE_XATTR, (uint32_t)(8 + strlen(name) + (size_t)n));
			write_string(&message.body, name);
			write_bytes(&message.body, value, (size_t)n);
			packet = message_finish(&message);
		}
		free(value);
		/* n < 0: removed since the names were read. */
		if (n >= 0 && !job_send(job, packet))
			return JOB_DONE;
	}
	return job_ok(job);
}

static enum job_next set_step(struct job *job)
{
	struct attribute_job *set = container_of(job, struct attribute_job, file.job);
	if (!file_job_resolve(&set->file))
		return JOB_DONE;
	const char *path = set->file.path;
	int failed = set->remove ? removexattr(path, set->name) : setxattr(path, set->name, set->value.data, set->value.length, 0);
	if (failed && errno == ENODATA)
		return job_fail(job, ENOENT, set->name);
	return failed ? job_fail(job, errno, path) : job_ok(job);
}

static void dispose(struct job *job)
{
	struct attribute_job *attribute = container_of(job, struct attribute_job, file.job);
	free(attribute->names);
	file_job_dispose(job);
}

static const struct job_ops get_ops = { .lane = LANE_FILES, .step = get_step, .dispose = dispose };
static const struct job_ops set_ops = { .lane = LANE_FILES, .step = set_step, .dispose = dispose };

void xattr_get(struct stream *stream, struct reader *arguments)
{
	struct attribute_job *get = file_job_new(sizeof *get, &get_ops, stream, arguments);
	if (get)
		file_job_start(&get->file, stream);
}

void xattr_set(struct stream *stream, struct reader *arguments)
{
	struct attribute_job *set = file_job_new(sizeof *set, &set_ops, stream, arguments);
	if (!set)
		return;
	set->name = read_string(&set->file.reader, MAX_NAME_BYTES);
	set->remove = read_u8(&set->file.reader);
	set->value = read_bytes(&set->file.reader, MAX_VALUE_BYTES);
	file_job_start(&set->file, stream);
}
