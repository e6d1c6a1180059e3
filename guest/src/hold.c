/* HOLD and WAKE: the last thing before a snapshot, and the first in every life after it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cgroup.h"
#include "entropy.h"
#include "identity.h"
#include "job.h"
#include "loop.h"
#include "operations.h"
#include "packet.h"
#include "settings.h"

/* GCC 12's analyzer does not see that waking_done() frees what waits for it. */
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"

#define MAX_HOLD_TIMEOUT_MS 60000u
/* How long the workload waits for its machine id: a disk that does not answer must not hold it for good. */
#define FILES_WAIT_MS 10000u

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
	if (stream)
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

static const struct job_ops hold_ops = { .lane = LANE_HOLD, .step = hold_step };

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

/* The first half of WAKE: the clock and the entropy. */
struct wake_job {
	struct job job;
	struct timespec now;
	size_t entropy_length;
	uint8_t entropy[MAX_ENTROPY_BYTES];
	struct identity identity;
};

/* In between, files are written. Goes on without its stream: a lost session must not leave the workload held. */
struct waking {
	struct identity_wait wait;
	struct stream *stream;
};

/* The second half: the workload goes on. */
struct release_job {
	struct job job;
	char warnings[MAX_WARNING_BYTES];
};

static enum job_next release_step(struct job *job)
{
	const struct release_job *releasing = container_of(job, struct release_job, job);
	int error = cgroup_hold(false);
	if (error && error != ENOTSUP)
		return job_fail(job, error, "workload");
	result_ok(&job->result);
	copy_string(job->result.message, sizeof job->result.message, releasing->warnings);
	return JOB_DONE;
}

static const struct job_ops release_ops = { .lane = LANE_WAKE, .step = release_step };

static void release_workload(struct stream *stream, const char *warnings)
{
	struct release_job *releasing = job_new(sizeof *releasing, &release_ops);
	if (releasing)
		copy_string(releasing->warnings, sizeof releasing->warnings, warnings);
	start(stream, releasing ? &releasing->job : NULL);
}

static void waking_done(struct identity_wait *wait, const char *warnings)
{
	struct waking *waking = container_of(wait, struct waking, wait);
	struct stream *stream = waking->stream;
	if (stream) {
		stream->owner = NULL;
		stream->ops = NULL;
	}
	free(waking);
	release_workload(stream, warnings);
}

static void waking_release(struct stream *stream) { ((struct waking *)stream->owner)->stream = NULL; }

static const struct stream_ops waking_ops = { .release = waking_release };

static enum job_next wake_step(struct job *job)
{
	struct wake_job *wake = container_of(job, struct wake_job, job);
	struct bytes entropy = { .data = wake->entropy, .length = (uint32_t)wake->entropy_length };
	if (clock_settime(CLOCK_REALTIME, &wake->now) < 0)
		return job_fail(job, errno, "clock");
	int error = entropy_mix(entropy, true);
	explicit_bzero(wake->entropy, sizeof wake->entropy);
	return error ? job_fail(job, error, "/dev/urandom") : job_ok(job);
}

static bool wake_finish(struct job *job)
{
	const struct wake_job *wake = container_of(job, struct wake_job, job);
	struct stream *stream = job->stream;
	if (job->result.code != RESULT_OK)
		return false;
	struct waking *waking = wake->identity.machine_id[0] ? calloc(1, sizeof *waking) : NULL;
	job->stream = NULL;
	if (!waking) {
		release_workload(stream, wake->identity.machine_id[0] ? "machine id: memory is short" : "");
		return true;
	}
	waking->wait.done = waking_done;
	waking->stream = stream;
	if (stream) {
		stream->owner = waking;
		stream->ops = &waking_ops;
	}
	identity_write(&waking->wait, &wake->identity, FILES_WAIT_MS);
	return true;
}

static const struct job_ops wake_ops = { .lane = LANE_WAKE, .step = wake_step, .finish = wake_finish };

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
			copy_string(wake->identity.machine_id, sizeof wake->identity.machine_id, id);
	}
	start(stream, wake ? &wake->job : NULL);
}
