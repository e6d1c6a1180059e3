#include "process.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* How long, and how many, ended processes that no stream follows stay known with their output. */
#ifndef RETENTION_MS
#define RETENTION_MS 60000u
#endif
#define RETENTION_COUNT 64u

/* How long a program counts as just started. */
#define YOUTH_MS 500u
/* How long a start may take with others making room: one that is stuck must not slow them down. */
#define HURRY_MS 1000u
/* How long children are waited for per turn: programs can end faster than that for as long as they like. */
#define REAP_BUDGET_MS 5u

struct process *process_first;

static struct source child_source = { .fd = -1 };
static struct starting *starting_first;
static unsigned hurried_count;
static unsigned young_count;
static void reap_more(struct task *task);
static struct task reap_task = { .run = reap_more };
static void limit_left(struct task *task);
static struct task limit_task = { .run = limit_left };

struct process *process_find(uint32_t pid)
{
	for (struct process *p = process_first; p; p = p->next)
		if (!p->forgotten && !p->superseded && (uint32_t)p->pid == pid)
			return p;
	return NULL;
}

uint32_t process_running_count(void)
{
	uint32_t count = 0;
	for (const struct process *p = process_first; p; p = p->next)
		count += p->running;
	return count;
}

static void update_hurry(void) { stream_hurry(hurried_count || young_count); }

static void grow_up(struct process *process)
{
	if (!process->young)
		return;
	process->young = false;
	young_count--;
	loop_timer_cancel(&process->youth);
	for (struct attachment *a = process->attachments; a; a = a->next)
		a->stream->young = false;
	update_hurry();
}

static void youth_over(struct timer *timer) { grow_up(container_of(timer, struct process, youth)); }

static bool holds_output(const struct process *process)
{
	return process->outputs[0].source.fd >= 0 || process->outputs[1].source.fd >= 0;
}

static void destroy(struct process *process)
{
	struct process **at = &process_first;
	while (*at && *at != process)
		at = &(*at)->next;
	if (*at)
		*at = process->next;
	grow_up(process);
	process_input_shut(process);
	for (int i = 0; i < 2; i++)
		loop_close(&process->outputs[i].source);
	loop_timer_cancel(&process->retention);
	loop_timer_cancel(&process->terminal_grace);
	loop_timer_cancel(&process->rest);
	loop_task_cancel(&process->pump_task);
	ring_free(&process->ring);
	free(process->description);
	free(process);
}

/* No stream follows it. Programs that still write to its pipes must not die of
 * SIGPIPE, so the pipes are emptied until the last writer is gone. */
static void forget(struct process *process)
{
	process->forgotten = true;
	ring_free(&process->ring);
	loop_timer_cancel(&process->retention);
	if (!holds_output(process)) {
		destroy(process);
		return;
	}
	loop_timer(&process->retention, RETENTION_MS);
	process_pump(process);
}

static void retention_over(struct timer *timer)
{
	struct process *process = container_of(timer, struct process, retention);
	if (process->forgotten && holds_output(process)) {
		loop_timer(timer, RETENTION_MS);
		return;
	}
	if (process->forgotten)
		destroy(process);
	else
		forget(process);
}

static bool left(const struct process *process)
{
	return !process->running && !process->forgotten && !process->attachments;
}

static void limit_left(struct task *task)
{
	(void)task;
	for (;;) {
		uint32_t count = 0;
		struct process *oldest = NULL;
		for (struct process *p = process_first; p; p = p->next) {
			if (!left(p))
				continue;
			count++;
			if (!oldest || p->left_order < oldest->left_order)
				oldest = p;
		}
		if (count <= RETENTION_COUNT)
			return;
		forget(oldest);
	}
}

/*
 * An ended process that no stream follows, or none any more, stays for a while
 * for a stream that attaches later. Nothing is freed within the call.
 */
static void retain(struct process *process)
{
	static uint64_t last_order;
	if (!left(process))
		return;
	process->left_order = ++last_order;
	process->retention.fire = retention_over;
	loop_timer(&process->retention, process->superseded ? 0 : RETENTION_MS);
	loop_task(&limit_task);
}

static void ended(struct process *process, int status)
{
	process->running = false;
	grow_up(process);
	process->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	process->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	process->core_dumped = WIFSIGNALED(status) && WCOREDUMP(status);
	process_input_shut(process);
	process_output_ended(process);
	retain(process);
}

static bool being_started(pid_t pid)
{
	for (const struct starting *s = starting_first; s; s = s->next)
		if (spawn_may_be(s->spawn, pid))
			return true;
	return false;
}

static struct process *running_process(pid_t pid)
{
	for (struct process *p = process_first; p; p = p->next)
		if (p->running && p->pid == pid)
			return p;
	return NULL;
}

/* One by one, for when the child that the kernel shows first has to stay. */
static void reap_known(void)
{
	int status;
	for (struct process *p = process_first; p; p = p->next)
		if (p->running && waitpid(p->pid, &status, WNOHANG) > 0)
			ended(p, status);
}

static void reap(void)
{
	uint64_t end = now_ms() + REAP_BUDGET_MS;
	do {
		siginfo_t info = { 0 };
		int status;
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
			return;
		struct process *process = running_process(info.si_pid);
		if (!process && being_started(info.si_pid)) {
			/* It keeps its status until its start is recorded, which looks again. */
			reap_known();
			return;
		}
		if (waitpid(info.si_pid, &status, WNOHANG) > 0 && process)
			ended(process, status);
	} while (now_ms() < end);
	loop_task(&reap_task);
}

static void reap_more(struct task *task)
{
	(void)task;
	reap();
}

static void child_ready(struct source *source, uint32_t events)
{
	(void)events;
	struct signalfd_siginfo info;
	while (read(source->fd, &info, sizeof info) > 0)
		;
	reap();
}

static void hurry_no_more(struct starting *starting)
{
	loop_timer_cancel(&starting->hurry);
	hurried_count -= starting->hurried;
	starting->hurried = false;
	update_hurry();
}

static void hurry_over(struct timer *timer) { hurry_no_more(container_of(timer, struct starting, hurry)); }

void process_starting(struct starting *starting, struct spawn *spawn)
{
	*starting = (struct starting){ .next = starting_first, .spawn = spawn, .hurried = true, .hurry = { .fire = hurry_over } };
	starting_first = starting;
	hurried_count++;
	loop_timer(&starting->hurry, HURRY_MS);
	update_hurry();
}

void process_started(struct starting *starting)
{
	struct starting **at = &starting_first;
	while (*at != starting)
		at = &(*at)->next;
	*at = starting->next;
	hurry_no_more(starting);
	loop_task(&reap_task);
}

bool process_init(void)
{
	sigset_t mask;
	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	signal(SIGPIPE, SIG_IGN);
	child_source.fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	child_source.ready = child_ready;
	return child_source.fd >= 0 && loop_add(&child_source, EPOLLIN);
}

struct process *process_adopt(const struct spawn *spawn, uint8_t *description, uint32_t description_bytes,
			      uint32_t ring_bytes)
{
	struct process *process = calloc(1, sizeof *process);
	if (!process || !ring_init(&process->ring, ring_bytes)) {
		free(process);
		return NULL;
	}
	/* The kernel has used the number again: its former bearer is long gone. */
	struct process *former = process_find((uint32_t)spawn->pid);
	if (former) {
		former->superseded = true;
		retain(former);
	}
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	static uint64_t last_serial;
	process->serial = ++last_serial;
	process->pid = spawn->pid;
	process->running = true;
	process->pty = spawn->pty;
	process->unlisted = spawn->unlisted;
	process->start_time_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
	process->description = description;
	process->description_bytes = description_bytes;
	process->young = true;
	process->youth.fire = youth_over;
	young_count++;
	loop_timer(&process->youth, YOUTH_MS);
	process->next = process_first;
	process_first = process;
	process_output_open(process, &process->outputs[0], spawn->pty ? spawn->terminal_fd : spawn->stdout_fd,
			    spawn->pty ? CHANNEL_TERMINAL : CHANNEL_STDOUT);
	process_output_open(process, &process->outputs[1], spawn->stderr_fd, CHANNEL_STDERR);
	process_input_open(process, spawn->stdin_fd);
	return process;
}

static uint32_t on_pull(struct stream *stream, uint8_t *buffer, uint32_t max, uint8_t *channel)
{
	struct attachment *attachment = stream->owner;
	struct process *process = attachment->process;
	uint64_t end = process->end_marked ? process->end_position : UINT64_MAX;
	uint32_t length = 0;
	const uint8_t *bytes = ring_peek(&process->ring, attachment->position, &length, channel);
	if (length > max)
		length = max;
	if (length > end - attachment->position)
		length = (uint32_t)(end - attachment->position);
	if (bytes && length)
		memcpy(buffer, bytes, length);
	attachment->position += length;
	if (length && (process->outputs[0].readable || process->outputs[1].readable))
		loop_task(&process->pump_task);
	if (attachment->position >= end && !length) {
		struct message message = message_begin(MESSAGE_EXITED, 9);
		write_u32(&message.body, (uint32_t)process->exit_code);
		write_u32(&message.body, (uint32_t)process->signal);
		write_u8(&message.body, process->core_dumped);
		stream_send(stream, message_finish(&message));
		stream_close_ok(stream);
	}
	return length;
}

static void on_data(struct stream *stream, const uint8_t *bytes, uint32_t length)
{
	struct attachment *attachment = stream->owner;
	process_input_write(attachment->process, stream, bytes, length);
}

static void on_end(struct stream *stream)
{
	struct attachment *attachment = stream->owner;
	if (attachment->owns_input)
		process_input_finish(attachment->process, stream, true, false);
}

static void on_release(struct stream *stream)
{
	struct attachment *attachment = stream->owner;
	struct process *process = attachment->process;
	struct attachment **at = &process->attachments;
	while (*at && *at != attachment)
		at = &(*at)->next;
	if (*at)
		*at = attachment->next;
	process_input_forget_stream(process, stream);
	free(attachment);
	/* The slowest reader may have been this one. */
	if (!process->forgotten)
		loop_task(&process->pump_task);
	retain(process);
}

static const struct stream_ops attachment_ops = {
	.data = on_data,
	.end = on_end,
	.pull = on_pull,
	.release = on_release,
};

void process_attach_stream(struct process *process, struct stream *stream, uint64_t position, bool owns_input)
{
	struct attachment *attachment = calloc(1, sizeof *attachment);
	struct message message = message_begin(MESSAGE_STARTED, 4);
	write_u32(&message.body, (uint32_t)process->pid);
	struct packet *started = message_finish(&message);
	if (!attachment || !started) {
		free(attachment);
		packet_free(started);
		stream_close_with(stream, RESULT_RESOURCE_EXHAUSTED, ENOMEM, "memory is short");
		return;
	}
	if (process->end_marked && process->end_position < process->ring.head)
		process->end_position = process->ring.head;
	*attachment = (struct attachment){ .next = process->attachments, .process = process, .stream = stream,
					   .position = position, .owns_input = owns_input };
	process->attachments = attachment;
	loop_timer_cancel(&process->retention);
	stream->young = process->young;
	stream->owner = attachment;
	stream->ops = &attachment_ops;
	stream_send(stream, started);
}
