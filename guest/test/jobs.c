/* Lanes whose steps do not return, and syncs that join. Prints TAP. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../src/job.h"
#include "../src/loop.h"
#include "../src/operations.h"
#include "../src/settings.h"
#include "tap.h"

/* Each byte in the pipe lets one blocked step return. */
struct gate {
	int ends[2];
	int entered;
};

static struct gate files_gate, sync_gate;
static bool sync_waits;

static bool open_gate(struct gate *gate) { return pipe(gate->ends) == 0; }

static void pass(struct gate *gate)
{
	char byte;
	__atomic_add_fetch(&gate->entered, 1, __ATOMIC_SEQ_CST);
	(void)!read(gate->ends[0], &byte, 1);
}

static int entered(struct gate *gate) { return __atomic_load_n(&gate->entered, __ATOMIC_SEQ_CST); }

static void let(struct gate *gate, int count)
{
	while (count-- > 0)
		(void)!write(gate->ends[1], "x", 1);
}

/* In place of the C library's. */
void __wrap_sync(void);
void __wrap_sync(void)
{
	if (sync_waits)
		pass(&sync_gate);
	else
		__atomic_add_fetch(&sync_gate.entered, 1, __ATOMIC_SEQ_CST);
}

static enum job_next blocked_step(struct job *job)
{
	pass(&files_gate);
	return job_ok(job);
}

static enum job_next quick_step(struct job *job) { return job_ok(job); }

static const struct job_ops blocked = { .lane = LANE_FILES, .step = blocked_step };
static const struct job_ops quick = { .lane = LANE_FILES, .step = quick_step };

static uint32_t last_id;

static struct stream *new_stream(void) { return stream_new(++last_id, 1 << 20); }

static struct stream *start(const struct job_ops *ops)
{
	struct stream *stream = new_stream();
	struct job *job = job_new(sizeof *job, ops);
	job_start(job, stream);
	return stream;
}

static void open_operation(uint16_t operation, const void *arguments, size_t length)
{
	static uint8_t copy[256];
	memcpy(copy, arguments, length);
	struct reader reader = reader_over(copy, length);
	struct stream *stream = new_stream();
	operation_open(stream, operation, &reader);
}

/* Of each stream's CLOSE, and one more; 0: none yet. */
static int code_of[256];

/* The code of the stream's CLOSE, or -1 when there is none within the time. */
static int ended(uint32_t id, int wait_ms)
{
	static uint8_t out[FRAME_OVERHEAD + MAX_PAYLOAD];
	uint64_t end = now_ms() + (uint64_t)wait_ms;
	for (;;) {
		while (stream_next_frame(out, 7, MAX_DATA_TO_HOST))
			if (out[8] == FRAME_CLOSE)
				code_of[load32(out + 4)] = load16(out + FRAME_HEADER_BYTES) + 1;
		uint64_t now = now_ms();
		if (code_of[id] || now >= end)
			return code_of[id] - 1;
		loop_turn((int)(end - now));
	}
}

static void until_entered(struct gate *gate, int count)
{
	for (int i = 0; i < 500 && entered(gate) < count; i++)
		loop_turn(10);
}

static void test_stuck_lane(void)
{
	uint32_t first = last_id + 1;
	struct stream *cancelled = start(&blocked);
	for (int i = 1; i < 6; i++)
		start(&blocked);
	until_entered(&files_gate, 4);
	start(&quick);
	check(ended(last_id, 3000) == RESULT_OK, "jobs: a lane whose every step is stuck goes on with other threads");
	stream_cancel(cancelled);
	check(ended(first, 4000) == RESULT_CANCELLED, "jobs: a cancelled stream is answered though its step does not return");
	let(&files_gate, 6);
	bool all = true;
	for (uint32_t i = 1; i < 6; i++)
		all = ended(first + i, 3000) == RESULT_OK && all;
	check(all, "jobs: a stuck job ends when it can");
	start(&quick);
	check(ended(last_id, 3000) == RESULT_OK, "jobs: and the lane works on");
}

static void test_limit(void)
{
	struct stream *stream = new_stream();
	struct job *job = job_new(sizeof *job, &blocked);
	job_start(job, stream);
	job_limit(job, 50, "nobody");
	check(ended(last_id, 3000) == RESULT_TIMED_OUT, "jobs: a limit is kept though the step does not return");
	let(&files_gate, 1);
}

static void test_syncs(void)
{
	static const uint8_t hold[4] = { 0 };
	sync_waits = true;
	uint32_t first = last_id + 1;
	open_operation(OP_SYNC, "", 0);
	until_entered(&sync_gate, 1);
	for (int i = 1; i < 9; i++)
		open_operation(OP_SYNC, "", 0);
	/* Outside of a machine there is no workload to hold, which is an answer. */
	settings_own_machine = true;
	open_operation(OP_HOLD, hold, sizeof hold);
	check(ended(last_id, 3000) == RESULT_UNSUPPORTED, "jobs: HOLD waits for no sync");
	settings_own_machine = false;
	let(&sync_gate, 2);
	bool all = true;
	for (uint32_t i = 0; i < 9; i++)
		all = ended(first + i, 2000) == RESULT_OK && all;
	check(all && entered(&sync_gate) == 2, "jobs: syncs that are asked for during one share the next");
}

int main(void)
{
	if (!loop_init() || !jobs_init() || !open_gate(&files_gate) || !open_gate(&sync_gate))
		return 1;
	test_stuck_lane();
	test_limit();
	test_syncs();
	return tap_end();
}
