/* CONFIGURE, clock, sync and freeze. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "identity.h"
#include "job.h"
#include "loop.h"
#include "operations.h"
#include "settings.h"

/* How long CONFIGURE waits for files in /etc, without which the name holds all the same. */
#define FILES_WAIT_MS 5000u

static void malformed(struct stream *stream)
{
	stream_close_with(stream, RESULT_INVALID_ARGUMENT, 0, "malformed arguments");
}

static bool machine_is_ours(struct stream *stream)
{
	if (!settings_own_machine)
		stream_close_with(stream, RESULT_UNSUPPORTED, 0, "not inside a virtual machine");
	return settings_own_machine;
}

static void close_errno(struct stream *stream, int error, const char *subject)
{
	struct result result;
	result_errno(&result, error, subject);
	stream_close(stream, &result);
}

static void set_hostname(struct stream *stream, const char *name)
{
	struct identity identity = { 0 };
	if (sethostname(name, strlen(name)) < 0) {
		close_errno(stream, errno, "hostname");
		return;
	}
	copy_string(identity.name, sizeof identity.name, name);
	identity_answer(stream, &identity, FILES_WAIT_MS);
}

void configure(struct stream *stream, struct reader *arguments)
{
	const char *hostname = read_string(arguments, MAX_HOSTNAME_BYTES);
	const char *user = read_string(arguments, MAX_USER_BYTES);
	const char *workdir = read_string(arguments, MAX_PATH_BYTES);
	uint8_t replace = read_u8(arguments);
	uint32_t count = read_u32(arguments);
	if (arguments->bad || count > (size_t)(arguments->end - arguments->at) / 4) {
		malformed(stream);
		return;
	}
	char **list = calloc((size_t)count + 1, sizeof *list);
	if (!list) {
		close_errno(stream, ENOMEM, "environment");
		return;
	}
	for (uint32_t i = 0; i < count; i++) {
		list[i] = read_string(arguments, MAX_PAYLOAD);
		if (list[i][0] == '=' || !strchr(list[i], '='))
			arguments->bad = true;
	}
	bool fits = reader_done(arguments);
	if (!fits) {
		malformed(stream);
	} else if (*hostname && !settings_own_machine) {
		machine_is_ours(stream);
		fits = false;
	} else if (!settings_merge_environment(list, count, replace)) {
		stream_close_with(stream, RESULT_RESOURCE_EXHAUSTED, 0, "the environment is too large");
		fits = false;
	}
	free(list);
	if (!fits)
		return;
	if (*user)
		settings_set_user(user);
	if (*workdir)
		settings_set_workdir(workdir);
	if (*hostname)
		set_hostname(stream, hostname);
	else
		stream_close_ok(stream);
}

void clock_set(struct stream *stream, struct reader *arguments)
{
	time_t seconds = (time_t)read_u64(arguments);
	long nanoseconds = (long)read_u32(arguments);
	struct timespec now = { .tv_sec = seconds, .tv_nsec = nanoseconds };
	if (!reader_done(arguments) || now.tv_nsec > 999999999)
		malformed(stream);
	else if (!machine_is_ours(stream))
		return;
	else if (clock_settime(CLOCK_REALTIME, &now) < 0)
		close_errno(stream, errno, "clock");
	else
		stream_close_ok(stream);
}

static int freeze_root(bool freeze)
{
	int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	int error = ioctl(fd, freeze ? FIFREEZE : FITHAW, 0) < 0 ? errno : 0;
	close(fd);
	/* Frozen already, or not frozen: what was asked for holds. */
	return (freeze && error == EBUSY) || (!freeze && error == EINVAL) ? 0 : error;
}

/*
 * Syncs run one at a time, each for all requests that came before it began: a
 * sync under way may have passed over data that a later request is about.
 */
struct sync_job {
	struct job job;
	uint64_t number;
};

static _Atomic uint64_t syncs_asked_for;

static enum job_next sync_step(struct job *job)
{
	static uint64_t done;    /* only the lane's one thread comes here */
	const struct sync_job *syncing = container_of(job, struct sync_job, job);
	if (job_cancelled(job))
		return job_cancel(job);
	uint64_t joined = syncs_asked_for;
	if (syncing->number > done) {
		sync();
		done = joined;
	}
	return job_ok(job);
}

static enum job_next freeze_step(struct job *job)
{
	int error = freeze_root(true);
	return error ? job_fail(job, error, "/") : job_ok(job);
}

static enum job_next thaw_step(struct job *job)
{
	int error = freeze_root(false);
	return error ? job_fail(job, error, "/") : job_ok(job);
}

static const struct job_ops sync_ops = { .lane = LANE_SYNC, .step = sync_step };
static const struct job_ops freeze_ops = { .lane = LANE_FREEZE, .step = freeze_step };
/* Alone in its lane: a sync on a frozen file system may wait for this. */
static const struct job_ops thaw_ops = { .lane = LANE_THAW, .step = thaw_step };

static void start_plain(struct stream *stream, struct reader *arguments, const struct job_ops *ops)
{
	if (!reader_done(arguments)) {
		malformed(stream);
		return;
	}
	struct job *job = job_new(sizeof *job, ops);
	if (job)
		job_start(job, stream);
	else
		close_errno(stream, ENOMEM, "memory");
}

void system_sync(struct stream *stream, struct reader *arguments)
{
	if (!reader_done(arguments)) {
		malformed(stream);
		return;
	}
	struct sync_job *syncing = job_new(sizeof *syncing, &sync_ops);
	if (!syncing) {
		close_errno(stream, ENOMEM, "memory");
		return;
	}
	syncing->number = ++syncs_asked_for;
	job_start(&syncing->job, stream);
}

void system_freeze(struct stream *stream, struct reader *arguments)
{
	if (!reader_done(arguments))
		malformed(stream);
	else if (machine_is_ours(stream))
		start_plain(stream, arguments, &freeze_ops);
}

void system_thaw(struct stream *stream, struct reader *arguments)
{
	if (settings_own_machine || !reader_done(arguments))
		start_plain(stream, arguments, &thaw_ops);
	else
		stream_close_ok(stream);
}
