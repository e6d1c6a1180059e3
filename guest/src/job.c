#include "job.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "link.h"
#include "loop.h"

/* Read-ahead of one job, and of all jobs together (each may always have one chunk). */
#define PENDING_LIMIT (3u * PACKET_CHUNK)
#define PENDING_TOTAL_LIMIT (8u << 20)
#define INPUT_STEP 65536u
#ifdef __SANITIZE_ADDRESS__
#define STACK_BYTES (1u << 20)
#else
#define STACK_BYTES (128u << 10)
#endif

/* A step that takes this long is stuck: steps are small pieces of work. */
#define STUCK_MS 1000u
#define LOOK_MS 250u
/* What a cancelled job has left to say gets this long before its stream is answered without it. */
#define CANCEL_GRACE_MS 1000u

struct lane {
	struct job *first;
	struct job *last;
	struct job *running;
	pthread_cond_t wake;
	int threads;
	int idle;
	int limit;               /* threads that are not stuck */
	int most;                /* threads, stuck ones included */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
#define LANE(limit_, most_) { .wake = PTHREAD_COND_INITIALIZER, .limit = limit_, .most = most_ }
static struct lane lanes[LANE_COUNT] = {
	[LANE_FILES] = LANE(4, 64),
	[LANE_SPAWN] = LANE(2, 64),
	[LANE_LOOKUP] = LANE(4, 64),
	/* More syncs would only wait for the same disk. */
	[LANE_SYNC] = LANE(1, 1),
	[LANE_FREEZE] = LANE(1, 1),
	[LANE_THAW] = LANE(1, 1),
	[LANE_HOLD] = LANE(1, 4),
	[LANE_WAKE] = LANE(1, 4),
	[LANE_NETWORK] = LANE(1, 4),
	[LANE_IDENTITY] = LANE(1, 1),
};
static uint64_t pending_total;
static struct job *notices;
static struct source notice_source = { .fd = -1 };

static void collect(struct source *source, uint32_t events);
static void look_after_lanes(struct timer *timer);
static struct timer look_timer = { .fire = look_after_lanes };
static const struct stream_ops job_stream_ops;

bool jobs_init(void)
{
	notice_source.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	notice_source.ready = collect;
	return notice_source.fd >= 0 && loop_add(&notice_source, EPOLLIN);
}

void *job_new(size_t size, const struct job_ops *ops)
{
	struct job *job = calloc(1, size);
	if (job)
		job->ops = ops;
	return job;
}

static void notify(struct job *job)
{
	if (job->noticed)
		return;
	job->noticed = true;
	bool first = !notices;
	job->next_notice = notices;
	notices = job;
	if (first) {
		uint64_t one = 1;
		/* Fails only when the counter is full, and then it is readable anyway. */
		(void)!write(notice_source.fd, &one, sizeof one);
	}
}

/* Under the lock. */
static void enqueue(struct lane *lane, struct job *job)
{
	job->queued = true;
	job->next_queued = NULL;
	if (lane->last)
		lane->last->next_queued = job;
	else
		lane->first = job;
	lane->last = job;
}

/* Under the lock. */
static void begin_step(struct lane *lane, struct job *job)
{
	lane->first = job->next_queued;
	if (!lane->first)
		lane->last = NULL;
	job->queued = false;
	job->running = true;
	job->again = false;
	job->step_began_ms = now_ms();
	job->next_running = lane->running;
	lane->running = job;
}

/* Under the lock. */
static void end_step(struct lane *lane, struct job *job)
{
	struct job **at = &lane->running;
	while (*at != job)
		at = &(*at)->next_running;
	*at = job->next_running;
	job->running = false;
}

static void *worker(void *argument)
{
	struct lane *lane = argument;
	pthread_mutex_lock(&lock);
	for (;;) {
		while (!lane->first) {
			if (lane->idle == lane->limit) {
				/* It stood in for one that was stuck. */
				lane->threads--;
				pthread_mutex_unlock(&lock);
				return NULL;
			}
			lane->idle++;
			pthread_cond_wait(&lane->wake, &lock);
			lane->idle--;
		}
		struct job *job = lane->first;
		begin_step(lane, job);
		pthread_mutex_unlock(&lock);

		enum job_next next = job->ops->step(job);

		pthread_mutex_lock(&lock);
		end_step(lane, job);
		if (next == JOB_DONE) {
			job->done = true;
			notify(job);
		} else if (next == JOB_MORE || job->again) {
			enqueue(lane, job);
		}
	}
}

static bool start_thread(struct lane *lane)
{
	pthread_attr_t attributes;
	pthread_t thread;
	if (pthread_attr_init(&attributes) != 0)
		return false;
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	bool started = pthread_create(&thread, &attributes, worker, lane) == 0;
	pthread_attr_destroy(&attributes);
	if (started)
		lane->threads++;
	return started;
}

/* Under the lock: threads that get on. */
static int healthy(const struct lane *lane, uint64_t now)
{
	int count = lane->threads;
	for (const struct job *job = lane->running; job; job = job->next_running)
		count -= now - job->step_began_ms >= STUCK_MS;
	return count;
}

/* Under the lock: starts a thread for each queued job that no idle one will take, as far as that is allowed. */
static void staff(struct lane *lane)
{
	int missing = -lane->idle;
	for (const struct job *job = lane->first; job; job = job->next_queued)
		missing++;
	if (missing <= 0)
		return;
	int room = lane->limit - healthy(lane, now_ms());
	while (missing > 0 && room > 0 && lane->threads < lane->most && start_thread(lane)) {
		missing--;
		room--;
	}
	/* Threads that work now may turn out to be stuck. */
	if (missing > 0 && !look_timer.armed)
		loop_timer(&look_timer, LOOK_MS);
}

static void look_after_lanes(struct timer *timer)
{
	(void)timer;
	pthread_mutex_lock(&lock);
	for (int i = 0; i < LANE_COUNT; i++)
		staff(&lanes[i]);
	pthread_mutex_unlock(&lock);
}

/* Main thread, under the lock. */
static void wake_locked(struct job *job)
{
	if (job->done || job->queued)
		return;
	if (job->running) {
		job->again = true;
		return;
	}
	struct lane *lane = &lanes[job->ops->lane];
	enqueue(lane, job);
	staff(lane);
	pthread_cond_signal(&lane->wake);
}

void job_wake(struct job *job)
{
	pthread_mutex_lock(&lock);
	wake_locked(job);
	pthread_mutex_unlock(&lock);
}

static void job_free(struct job *job)
{
	loop_timer_cancel(&job->late);
	packet_drop_all(&job->outgoing);
	packet_drop_all(&job->incoming);
	if (job->ops->dispose)
		job->ops->dispose(job);
	free(job);
}

/* Under the lock: nothing of the job is on its way any more. */
static void forget_pending(struct job *job)
{
	packet_drop_all(&job->outgoing);
	pending_total -= job->pending;
	job->pending = 0;
}

/* The job cannot say how it ended, since its step has not returned. */
static void answer_late(struct timer *timer)
{
	struct job *job = container_of(timer, struct job, late);
	struct result result;
	if (!job->stream)
		return;
	if (job_cancelled(job))
		result_fail(&result, RESULT_CANCELLED, 0, "cancelled");
	else
		result_errno(&result, ETIMEDOUT, job->subject);
	stream_close(job->stream, &result);
	if (job->ops->abandoned)
		job->ops->abandoned(job);
}

void job_limit(struct job *job, unsigned after_ms, const char *subject)
{
	job->subject = subject;
	loop_timer(&job->late, after_ms);
}

void job_start(struct job *job, struct stream *stream)
{
	job->late.fire = answer_late;
	job->stream = stream;
	if (stream) {
		stream->owner = job;
		stream->ops = &job_stream_ops;
	}
	pthread_mutex_lock(&lock);
	job->credit = stream ? stream->credit : 0;
	wake_locked(job);
	struct lane *lane = &lanes[job->ops->lane];
	if (lane->threads == 0) {
		/* No thread could be had, so this job is all the lane holds. */
		lane->first = lane->last = NULL;
		job->queued = false;
		job->done = true;
		result_errno(&job->result, EAGAIN, "worker thread");
		notify(job);
	}
	pthread_mutex_unlock(&lock);
}

struct packet_list job_take_input(struct job *job, bool *ended)
{
	pthread_mutex_lock(&lock);
	struct packet_list list = job->incoming;
	job->incoming = (struct packet_list){ 0 };
	*ended = job->incoming_ended;
	pthread_mutex_unlock(&lock);
	return list;
}

/* Moves what one job has produced to its stream; true when the job has ended. */
static bool deliver(struct job *job)
{
	pthread_mutex_lock(&lock);
	job->noticed = false;
	struct packet_list list = job->outgoing;
	job->outgoing = (struct packet_list){ 0 };
	uint32_t consumed = job->consumed;
	job->consumed = 0;
	bool done = job->done;
	if (!job->stream) {
		packet_drop_all(&list);
		forget_pending(job);
	}
	pthread_mutex_unlock(&lock);
	struct packet *packet;
	while ((packet = packet_take(&list)))
		stream_send(job->stream, packet);
	if (job->stream && consumed)
		stream_consumed(job->stream, consumed);
	return done;
}

static void collect(struct source *source, uint32_t events)
{
	(void)events;
	uint64_t counter;
	(void)!read(source->fd, &counter, sizeof counter);
	for (;;) {
		pthread_mutex_lock(&lock);
		struct job *job = notices;
		if (job)
			notices = job->next_notice;
		pthread_mutex_unlock(&lock);
		if (!job)
			return;
		if (!deliver(job))
			continue;
		if (!job->ops->finish || !job->ops->finish(job))
			if (job->stream)
				stream_close(job->stream, &job->result);
		pthread_mutex_lock(&lock);
		forget_pending(job);
		pthread_mutex_unlock(&lock);
		job_free(job);
	}
}

static void on_data(struct stream *stream, const uint8_t *bytes, uint32_t length)
{
	struct job *job = stream->owner;
	if (!length)
		return;
	pthread_mutex_lock(&lock);
	struct packet *packet = job->incoming.last;
	if (!packet || packet->capacity - packet->length < length) {
		/* Small pieces share a packet, so that 1-byte frames cost no page each. */
		packet = packet_new(FRAME_DATA, length > 2048 ? PACKET_CHUNK : 4096);
		if (packet)
			packet_append(&job->incoming, packet);
	}
	if (packet) {
		memcpy(packet->data + packet->length, bytes, length);
		packet->length += length;
		job->incoming.bytes += length;
		wake_locked(job);
	}
	pthread_mutex_unlock(&lock);
	if (!packet)
		link_give_up();
}

static void on_end(struct stream *stream)
{
	struct job *job = stream->owner;
	pthread_mutex_lock(&lock);
	job->incoming_ended = true;
	wake_locked(job);
	pthread_mutex_unlock(&lock);
}

static void cancel(struct job *job)
{
	pthread_mutex_lock(&lock);
	job->cancelled = true;
	forget_pending(job);
	wake_locked(job);
	pthread_mutex_unlock(&lock);
}

static void on_cancel(struct stream *stream)
{
	struct job *job = stream->owner;
	cancel(job);
	loop_timer(&job->late, CANCEL_GRACE_MS);
}

static void on_progress(struct stream *stream, uint32_t sent)
{
	struct job *job = stream->owner;
	pthread_mutex_lock(&lock);
	/* Bytes sent before a cancellation are no longer counted. */
	uint64_t counted = sent < job->pending ? sent : job->pending;
	job->pending -= counted;
	pending_total -= counted;
	job->credit = stream->credit;
	if (job->pending <= PACKET_CHUNK)
		wake_locked(job);
	pthread_mutex_unlock(&lock);
}

static void on_release(struct stream *stream)
{
	struct job *job = stream->owner;
	job->stream = NULL;
	loop_timer_cancel(&job->late);
	cancel(job);
}

static const struct stream_ops job_stream_ops = {
	.data = on_data,
	.end = on_end,
	.cancel = on_cancel,
	.progress = on_progress,
	.release = on_release,
};

bool job_cancelled(struct job *job)
{
	pthread_mutex_lock(&lock);
	bool cancelled = job->cancelled;
	pthread_mutex_unlock(&lock);
	return cancelled;
}

static int64_t room_locked(const struct job *job)
{
	if (job->pending >= PENDING_LIMIT || (job->pending && pending_total >= PENDING_TOTAL_LIMIT))
		return -1;
	return job->credit - (int64_t)job->pending;
}

uint32_t job_room(struct job *job)
{
	pthread_mutex_lock(&lock);
	int64_t room = room_locked(job);
	pthread_mutex_unlock(&lock);
	return room <= 0 ? 0 : room > PACKET_CHUNK ? PACKET_CHUNK : (uint32_t)room;
}

bool job_message_room(struct job *job)
{
	pthread_mutex_lock(&lock);
	bool room = room_locked(job) >= 0;
	pthread_mutex_unlock(&lock);
	return room;
}

bool job_send(struct job *job, struct packet *packet)
{
	if (!packet) {
		result_errno(&job->result, ENOMEM, "message");
		return false;
	}
	pthread_mutex_lock(&lock);
	if (job->cancelled) {
		packet_free(packet);
	} else {
		job->pending += packet->length;
		pending_total += packet->length;
		packet_append(&job->outgoing, packet);
		notify(job);
	}
	pthread_mutex_unlock(&lock);
	return true;
}

struct packet *job_receive(struct job *job, bool *ended)
{
	pthread_mutex_lock(&lock);
	struct packet *packet = packet_take(&job->incoming);
	*ended = !packet && job->incoming_ended;
	pthread_mutex_unlock(&lock);
	return packet;
}

void job_received(struct job *job, struct packet *packet)
{
	uint32_t length = packet->length;
	packet_free(packet);
	pthread_mutex_lock(&lock);
	job->consumed += length;
	if (job->consumed >= INPUT_STEP)
		notify(job);
	pthread_mutex_unlock(&lock);
}

enum job_next job_ok(struct job *job)
{
	result_ok(&job->result);
	return JOB_DONE;
}

enum job_next job_fail(struct job *job, int error, const char *subject)
{
	result_errno(&job->result, error, subject);
	return JOB_DONE;
}

enum job_next job_cancel(struct job *job)
{
	result_fail(&job->result, RESULT_CANCELLED, 0, "cancelled");
	return JOB_DONE;
}

enum job_next job_invalid(struct job *job, const char *message)
{
	result_fail(&job->result, RESULT_INVALID_ARGUMENT, 0, "%s", message);
	return JOB_DONE;
}
