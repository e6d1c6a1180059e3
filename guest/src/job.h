/*
 * Blocking work on behalf of a stream, done by a bounded pool of worker threads.
 *
 * A job is a state machine: its step() runs on a worker, does a bounded piece of
 * work and says how to go on, so that a stream without credit or input never
 * holds a thread. Packets it sends travel to the stream, and DATA of the host
 * waits for it, in queues bounded by the stream's credit.
 *
 * A step may still block for ever, in a file system that does not answer. A
 * cancelled stream is then answered without the job, which ends when it can.
 */
#ifndef DORMOUSE_JOB_H
#define DORMOUSE_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "loop.h"
#include "packet.h"
#include "result.h"
#include "stream.h"

enum job_next {
	JOB_MORE,   /* call step() again, after others had their turn */
	JOB_WAIT,   /* call step() when there is room, input, or a wake-up */
	JOB_DONE,   /* the result stands */
};

/*
 * Each lane has threads of its own, so that slow files never delay a start, and
 * what a snapshot or a restore needs waits for nothing but itself: a thaw never
 * for writers that wait for the thaw, HOLD never for a sync. A thread whose step
 * does not return (a file system that does not answer) is replaced by another.
 */
enum job_lane {
	LANE_FILES,
	LANE_SPAWN,
	LANE_LOOKUP,
	LANE_SYNC,
	LANE_FREEZE,
	LANE_THAW,
	LANE_HOLD,
	LANE_WAKE,
	LANE_NETWORK,
	/* One thread: each of its files is read, changed and replaced. */
	LANE_IDENTITY,
	LANE_COUNT,
};

struct job;

struct job_ops {
	enum job_lane lane;
	enum job_next (*step)(struct job *job);
	/* Main thread, after JOB_DONE, when given: true when it took the stream over
	 * (job->stream may be NULL when the session has ended meanwhile). */
	bool (*finish)(struct job *job);
	/* Main thread, when given: the stream was answered although the step has not returned. */
	void (*abandoned)(struct job *job);
	/* Main thread: frees what the job owns; the job itself is freed afterwards. */
	void (*dispose)(struct job *job);
};

struct job {
	const struct job_ops *ops;
	struct result result;

	/* Main thread. */
	struct stream *stream;
	struct timer late;       /* answers the stream when the job does not */
	const char *subject;     /* names the job in that answer */

	/* Shared, under the pool's lock. */
	struct job *next_queued;
	struct job *next_running;
	uint64_t step_began_ms;
	struct job *next_notice;
	struct packet_list outgoing;
	struct packet_list incoming;
	int64_t credit;          /* what the stream may still send, queued bytes not counted */
	uint64_t pending;        /* bytes sent by the job that have not left yet */
	uint32_t consumed;       /* bytes of input done with, not yet reported */
	bool incoming_ended;
	bool cancelled;
	bool queued;
	bool running;
	bool again;
	bool done;
	bool noticed;
};

bool jobs_init(void);
/* Allocates a job of `size` bytes (struct job first), zeroed; NULL: memory is short. */
void *job_new(size_t size, const struct job_ops *ops);
/* Main thread: the job takes over the stream (NULL: there is none) and starts. Frees the job with dispose(). */
void job_start(struct job *job, struct stream *stream);
/* Main thread: unless the job has ended by then, its stream is answered as timed out. `subject` must live as long. */
void job_limit(struct job *job, unsigned after_ms, const char *subject);
/* Main thread: step() is called (again). */
void job_wake(struct job *job);
/* Main thread: packets of the host the job has not taken. */
struct packet_list job_take_input(struct job *job, bool *ended);

/* For step(). */
bool job_cancelled(struct job *job);
/* How many bytes of DATA may be sent now (at most PACKET_CHUNK; 0: JOB_WAIT). */
uint32_t job_room(struct job *job);
/* Whether a MESSAGE may be sent now. */
bool job_message_room(struct job *job);
/* Takes the packet; false when it is NULL (memory is short; the result says so). */
bool job_send(struct job *job, struct packet *packet);
/* The next packet of the host, or NULL; *ended: there will be no more. */
struct packet *job_receive(struct job *job, bool *ended);
/* Frees a packet got from job_receive() and reports its bytes as consumed. */
void job_received(struct job *job, struct packet *packet);
/* Shorthands for `return`: the result and JOB_DONE. */
enum job_next job_ok(struct job *job);
enum job_next job_fail(struct job *job, int error, const char *subject);
enum job_next job_cancel(struct job *job);
enum job_next job_invalid(struct job *job, const char *message);

#endif
