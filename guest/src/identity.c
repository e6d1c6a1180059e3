#include "identity.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "etc-file.h"
#include "hosts.h"
#include "job.h"
#include "log.h"

#define NAME_FILE "etc/hostname"
#define HOSTS_FILE "etc/hosts"
#define RESOLVER_FILE "etc/resolv.conf"
#define MACHINE_ID_FILE "etc/machine-id"
/* Programs that keep an id of their own read it from here; where this is a link it leads to the other. */
#define DBUS_MACHINE_ID_FILE "var/lib/dbus/machine-id"
#define HOST_KEYS "etc/ssh"

/* How often a file is read again that the workload changes at the same time. */
#define ATTEMPTS 3
/* Jobs that wait behind a disk that does not answer; beyond that they are refused. */
#define MAX_WAITING 64u

const char *identity_root = "/";

static void warn(struct warnings *warnings, const char *path, int error)
{
	size_t length = strlen(warnings->text);
	const char *reason = error == ELOOP ? "a symbolic link" : error == EINVAL ? "not a regular file" : strerror(error);
	snprintf(warnings->text + length, sizeof warnings->text - length, "%s/%s: %s", length ? "\n" : "", path, reason);
	log_line("/%s is left as it is: %s", path, reason);
}

/* The new text of a file, allocated; NULL: memory is short. */
typedef char *new_text(const struct etc_file *old, const char *value, size_t *length);

static char *only_line(const struct etc_file *old, const char *value, size_t *length)
{
	(void)old;
	*length = strlen(value) + 1;
	char *text = malloc(*length + 1);
	if (text)
		snprintf(text, *length + 1, "%s\n", value);
	return text;
}

static char *with_name(const struct etc_file *old, const char *value, size_t *length)
{
	return hosts_with_name(old->text, old->length, value, length);
}

/* 0 or an errno; the file is not touched when it says so already. */
static int update(int root, const char *path, const char *value, new_text *compose, mode_t mode)
{
	for (int attempt = 1;; attempt++) {
		struct etc_file old;
		int error = etc_file_read(root, path, &old);
		if (error)
			return error;
		size_t length;
		char *text = compose(&old, value, &length);
		if (!text)
			error = ENOMEM;
		else if (!old.exists || length != old.length || memcmp(text, old.text, length) != 0)
			error = etc_file_replace(root, path, &old, text, length, mode);
		free(text);
		free(old.text);
		if (error != EAGAIN || attempt == ATTEMPTS)
			return error;
	}
}

/*
 * A resolv.conf that names the server may say more and stays. A link is
 * replaced: it usually leads into a /run that no longer holds its target.
 */
static int set_name_server(int root, const char *address)
{
	char line[sizeof "nameserver " + MAX_NAME_SERVER_BYTES];
	struct etc_file old;
	struct stat status;
	snprintf(line, sizeof line, "nameserver %s", address);
	bool is_link = fstatat(root, RESOLVER_FILE, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(status.st_mode);
	int error = is_link ? etc_file_read_target(root, RESOLVER_FILE, &old) : etc_file_read(root, RESOLVER_FILE, &old);
	if (error && !is_link)
		return error;
	if (error)
		old = (struct etc_file){ 0 };
	if (!old.text || !resolv_names_server(old.text, old.length, address)) {
		size_t length;
		char *text = only_line(&old, line, &length);
		error = text ? etc_file_replace(root, RESOLVER_FILE, &old, text, length, 0644) : ENOMEM;
		free(text);
	} else {
		error = 0;
	}
	free(old.text);
	return error;
}

/* Keys that other lives of the same snapshot have too prove nothing. */
static int remove_host_keys(int root)
{
	int fd = openat(root, HOST_KEYS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : errno;
	DIR *directory = fdopendir(fd);
	if (!directory) {
		int error = errno;
		close(fd);
		return error;
	}
	int error = 0;
	const struct dirent *entry;
	while (errno = 0, (entry = readdir(directory)))
		if (strncmp(entry->d_name, "ssh_host_", 9) == 0 && unlinkat(fd, entry->d_name, 0) < 0 && errno != ENOENT)
			error = errno;
	if (errno)
		error = errno;
	closedir(directory);
	return error;
}

static void note(struct warnings *warnings, const char *path, int error)
{
	if (error)
		warn(warnings, path, error);
}

void identity_apply(int root, const struct identity *identity, struct warnings *warnings)
{
	struct stat status;
	if (identity->name[0]) {
		note(warnings, NAME_FILE, update(root, NAME_FILE, identity->name, only_line, 0644));
		note(warnings, HOSTS_FILE, update(root, HOSTS_FILE, identity->name, with_name, 0644));
	}
	if (identity->name_server[0])
		note(warnings, RESOLVER_FILE, set_name_server(root, identity->name_server));
	if (identity->machine_id[0]) {
		note(warnings, MACHINE_ID_FILE, update(root, MACHINE_ID_FILE, identity->machine_id, only_line, 0444));
		if (fstatat(root, DBUS_MACHINE_ID_FILE, &status, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISLNK(status.st_mode))
			note(warnings, DBUS_MACHINE_ID_FILE,
			     update(root, DBUS_MACHINE_ID_FILE, identity->machine_id, only_line, 0444));
		note(warnings, HOST_KEYS, remove_host_keys(root));
	}
}

struct identity_job {
	struct job job;
	struct identity identity;
	struct warnings warnings;
	struct identity_wait *wait;   /* main thread; NULL: no caller waits any more */
};

static unsigned waiting_jobs;

static enum job_next step(struct job *job)
{
	struct identity_job *writing = container_of(job, struct identity_job, job);
	int root = open(identity_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0) {
		warn(&writing->warnings, "", errno);
		return JOB_DONE;
	}
	identity_apply(root, &writing->identity, &writing->warnings);
	close(root);
	return JOB_DONE;
}

static bool finish(struct job *job)
{
	struct identity_job *writing = container_of(job, struct identity_job, job);
	struct identity_wait *wait = writing->wait;
	waiting_jobs--;
	if (job->result.code != RESULT_OK)
		snprintf(writing->warnings.text, sizeof writing->warnings.text, "/etc: %.*s", 512, job->result.message);
	if (wait) {
		identity_forget(wait);
		wait->done(wait, writing->warnings.text);
	}
	return true;
}

static const struct job_ops ops = { .lane = LANE_IDENTITY, .step = step, .finish = finish };

void identity_forget(struct identity_wait *wait)
{
	loop_timer_cancel(&wait->timer);
	if (wait->job)
		wait->job->wait = NULL;
	wait->job = NULL;
}

static void give_up(struct timer *timer)
{
	struct identity_wait *wait = container_of(timer, struct identity_wait, timer);
	identity_forget(wait);
	log_line("the disk does not answer: files in /etc are written later");
	wait->done(wait, "/etc: the disk does not answer, written later");
}

void identity_write(struct identity_wait *wait, const struct identity *identity, unsigned timeout_ms)
{
	wait->timer.fire = give_up;
	wait->job = NULL;
	struct identity_job *writing = waiting_jobs < MAX_WAITING ? job_new(sizeof *writing, &ops) : NULL;
	if (!writing) {
		wait->done(wait, "/etc: the disk does not answer, not written");
		return;
	}
	waiting_jobs++;
	writing->identity = *identity;
	writing->wait = wait;
	wait->job = writing;
	loop_timer(&wait->timer, timeout_ms);
	job_start(&writing->job, NULL);
}

/* A stream that is answered when the files are written. */
struct answer {
	struct identity_wait wait;
	struct stream *stream;
};

static void answer_done(struct identity_wait *wait, const char *warnings)
{
	struct answer *answer = container_of(wait, struct answer, wait);
	struct result result;
	result_ok(&result);
	copy_string(result.message, sizeof result.message, warnings);
	/* Releases the answer as well. */
	stream_close(answer->stream, &result);
}

static void answer_release(struct stream *stream)
{
	struct answer *answer = stream->owner;
	identity_forget(&answer->wait);
	free(answer);
}

static const struct stream_ops answer_ops = { .release = answer_release };

void identity_answer(struct stream *stream, const struct identity *identity, unsigned timeout_ms)
{
	struct answer *answer = calloc(1, sizeof *answer);
	if (!answer) {
		stream_close_with(stream, RESULT_RESOURCE_EXHAUSTED, ENOMEM, "memory is short");
		return;
	}
	answer->wait.done = answer_done;
	answer->stream = stream;
	stream->owner = answer;
	stream->ops = &answer_ops;
	identity_write(&answer->wait, identity, timeout_ms);
}
