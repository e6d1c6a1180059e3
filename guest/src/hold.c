/* HOLD and WAKE: the last thing before a snapshot, and the first in every life after it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cgroup.h"
#include "entropy.h"
#include "job.h"
#include "loop.h"
#include "operations.h"
#include "packet.h"
#include "settings.h"
#include "textfile.h"

#define MAX_HOLD_TIMEOUT_MS 60000u
#define MACHINE_ID_DIGITS 32u

static bool ours(struct stream *stream)
{
	if (!settings_own_machine)
		stream_close_with(stream, RESULT_UNSUPPORTED, 0, "not inside a virtual machine");
	return settings_own_machine;
}

static void start(struct stream *stream, struct job *job)
{
	struct result result;
	if (job) {
		job_start(job, stream);
		return;
	}
	result_errno(&result, ENOMEM, "memory");
	stream_close(stream, &result);
}

struct hold_job {
	struct job job;
	uint32_t timeout_ms;
};

static enum job_next hold_step(struct job *job)
{
	const struct hold_job *hold = container_of(job, struct hold_job, job);
	int error = cgroup_hold(true);
	if (error)
		return job_fail(job, error, "workload");
	uint8_t held = cgroup_await_held(hold->timeout_ms);
	struct message message = message_begin(MESSAGE_HELD, sizeof held);
	write_u8(&message.body, held);
	return job_send(job, message_finish(&message)) ? job_ok(job) : JOB_DONE;
}

static const struct job_ops hold_ops = { .lane = LANE_CONTROL, .step = hold_step };

void system_hold(struct stream *stream, struct reader *arguments)
{
	uint32_t timeout_ms = read_u32(arguments);
	if (!reader_done(arguments) || timeout_ms > MAX_HOLD_TIMEOUT_MS) {
		stream_close_with(stream, RESULT_INVALID_ARGUMENT, 0, "malformed arguments");
		return;
	}
	if (!ours(stream))
		return;
	struct hold_job *hold = job_new(sizeof *hold, &hold_ops);
	if (hold)
		hold->timeout_ms = timeout_ms;
	start(stream, hold ? &hold->job : NULL);
}

struct wake_job {
	struct job job;
	struct timespec now;
	size_t entropy_length;
	uint8_t entropy[MAX_ENTROPY_BYTES];
	char machine_id[MACHINE_ID_DIGITS + 2];
};

/* Programs that keep an id of their own read it from one of these; where the second is a link it leads to the first. */
static int renew_machine_id(const char *line)
{
	static const char dbus[] = "/var/lib/dbus/machine-id";
	struct stat status;
	if (!textfile_write("/etc/machine-id", line, strlen(line)))
		return errno;
	if (lstat(dbus, &status) == 0 && S_ISREG(status.st_mode) && !textfile_write(dbus, line, strlen(line)))
		return errno;
	return 0;
}

/* Keys that other lives of the same snapshot have too prove nothing. */
static int remove_host_keys(void)
{
	int error = 0;
	DIR *directory = opendir("/etc/ssh");
	const struct dirent *entry;
	while (directory && (entry = readdir(directory)))
		if (strncmp(entry->d_name, "ssh_host_", 9) == 0 && unlinkat(dirfd(directory), entry->d_name, 0) < 0)
			error = errno;
	if (directory)
		closedir(directory);
	return error;
}

static enum job_next wake_step(struct job *job)
{
	struct wake_job *wake = container_of(job, struct wake_job, job);
	struct bytes entropy = { .data = wake->entropy, .length = (uint32_t)wake->entropy_length };
	if (clock_settime(CLOCK_REALTIME, &wake->now) < 0)
		return job_fail(job, errno, "clock");
	int error = entropy_mix(entropy, true);
	explicit_bzero(wake->entropy, sizeof wake->entropy);
	if (error)
		return job_fail(job, error, "/dev/urandom");
	if (wake->machine_id[0]) {
		error = renew_machine_id(wake->machine_id);
		if (error)
			return job_fail(job, error, "/etc/machine-id");
		error = remove_host_keys();
		if (error)
			return job_fail(job, error, "/etc/ssh");
	}
	error = cgroup_hold(false);
	return error && error != ENOTSUP ? job_fail(job, error, "workload") : job_ok(job);
}

/* Not in the lane where a sync may still wait for the disk. */
static const struct job_ops wake_ops = { .lane = LANE_THAW, .step = wake_step };

void system_wake(struct stream *stream, struct reader *arguments)
{
	time_t seconds = (time_t)read_u64(arguments);
	uint32_t nanoseconds = read_u32(arguments);
	struct bytes entropy = read_bytes(arguments, MAX_ENTROPY_BYTES);
	const char *id = read_string(arguments, MACHINE_ID_DIGITS);
	if (!reader_done(arguments) || nanoseconds > 999999999 || entropy.length < MIN_ENTROPY_BYTES ||
	    (*id && strspn(id, "0123456789abcdef") != MACHINE_ID_DIGITS)) {
		stream_close_with(stream, RESULT_INVALID_ARGUMENT, 0, "malformed arguments");
		return;
	}
	if (!ours(stream))
		return;
	struct wake_job *wake = job_new(sizeof *wake, &wake_ops);
	if (wake) {
		wake->now = (struct timespec){ .tv_sec = seconds, .tv_nsec = (long)nanoseconds };
		memcpy(wake->entropy, entropy.data, entropy.length);
		wake->entropy_length = entropy.length;
		if (*id)
			snprintf(wake->machine_id, sizeof wake->machine_id, "%s\n", id);
	}
	start(stream, wake ? &wake->job : NULL);
}
