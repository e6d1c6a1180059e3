#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "process.h"

/* Per turn and process, so that a flood nobody waits for leaves time for others. */
#define PUMP_BUDGET 262144u
/* After the end of a terminal's process its last output may still be on its way
 * through the kernel, which says when it has all come; this bounds the wait. */
#define TERMINAL_GRACE_MS 1000u
/* The agent comes before the programs, so it would be woken for every page a
 * program puts into a pipe, and send it alone. Output that follows other output
 * this closely is left to gather for as long: a pipe holds more than a program
 * writes in that time. */
#define REST_MS 2u

/*
 * A program may put its pipe into packet mode (O_DIRECT), where a read that is
 * too short for a packet loses its rest. So a pipe is read only when its longest
 * packet fits into the ring, which always has that room once its readers catch up.
 */
#define MAX_PACKET_BYTES 4096u

/* Forgotten processes have no ring; their output goes nowhere. */
static uint8_t nowhere[65536];

/* The oldest byte somebody still has to get. */
static uint64_t keep_from(const struct process *process)
{
	uint64_t keep = process->ring.head;
	for (const struct attachment *a = process->attachments; a; a = a->next)
		if (a->position < keep)
			keep = a->position;
	return keep;
}

static void close_output(struct process *process, struct process_output *output)
{
	if (process->pty)
		process_input_shut(process);
	loop_close(&output->source);
	output->readable = false;
	output->until_end = 0;
}

/* Reads once; returns bytes read, 0 when the ring is full or the pipe empty. */
static uint32_t read_once(struct process *process, struct process_output *output)
{
	struct iovec pieces[2] = { { .iov_base = nowhere, .iov_len = sizeof nowhere }, { .iov_base = nowhere } };
	if (!process->forgotten) {
		uint32_t room = ring_reserve_all(&process->ring, keep_from(process), output->channel, pieces);
		if (room < (process->pty ? 1 : MAX_PACKET_BYTES))
			return 0;
	}
	ssize_t n;
	do
		n = readv(output->source.fd, pieces, 2);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN) {
		/* Only this says that there is no more: a read of packets ends with each. */
		output->readable = false;
		output->until_end = process->pty ? output->until_end : 0;
		return 0;
	}
	if (n <= 0) {
		/* A terminal whose last holder is gone reads as EIO. */
		close_output(process, output);
		return 0;
	}
	if (!process->forgotten)
		ring_commit(&process->ring, (uint32_t)n, output->channel);
	uint32_t got = (uint32_t)n;
	output->until_end -= output->until_end < got ? output->until_end : got;
	return got;
}

bool process_output_drained(const struct process *process)
{
	for (int i = 0; i < 2; i++)
		if (process->outputs[i].source.fd >= 0 && process->outputs[i].until_end)
			return false;
	return true;
}

static void mark_end(struct process *process)
{
	if (process->running || process->end_marked || !process_output_drained(process))
		return;
	process->end_marked = true;
	process->end_position = process->ring.head;
	loop_timer_cancel(&process->terminal_grace);
	for (struct attachment *a = process->attachments; a; a = a->next)
		stream_kick(a->stream);
}

void process_pump(struct process *process)
{
	uint32_t budget = PUMP_BUDGET;
	uint64_t head = process->ring.head;
	bool progress = true;
	while (progress && budget) {
		progress = false;
		for (int i = 0; i < 2; i++) {
			struct process_output *output = &process->outputs[i];
			if (output->source.fd < 0 || !output->readable)
				continue;
			uint32_t n = read_once(process, output);
			progress = progress || n;
			budget -= n < budget ? n : budget;
		}
	}
	if (!budget)
		loop_task(&process->pump_task);
	if (process->ring.head != head)
		for (struct attachment *a = process->attachments; a; a = a->next)
			stream_kick(a->stream);
	mark_end(process);
}

static void pump_again(struct task *task)
{
	process_pump(container_of(task, struct process, pump_task));
}

static void watch_pipes(struct process *process, uint32_t events)
{
	for (int i = 0; i < 2; i++)
		if (process->outputs[i].source.fd >= 0)
			loop_watch(&process->outputs[i].source, events);
}

/* Reads what has gathered; goes on resting for as long as something has. */
static void rest_over(struct timer *timer)
{
	struct process *process = container_of(timer, struct process, rest);
	uint64_t head = process->ring.head;
	for (int i = 0; i < 2; i++)
		process->outputs[i].readable = process->outputs[i].source.fd >= 0;
	process_pump(process);
	if (process->ring.head != head && process->running)
		loop_timer(timer, REST_MS);
	else
		watch_pipes(process, EPOLLIN | EPOLLET);
}

/* A program that has written twice within a rest is likely to go on. */
static void rest_after_output(struct process *process)
{
	uint64_t now = now_ms();
	bool again = now - process->last_output_ms <= REST_MS;
	process->last_output_ms = now;
	if (!again || process->pty || process->forgotten || !process->running || process->rest.armed)
		return;
	watch_pipes(process, 0);
	loop_timer(&process->rest, REST_MS);
}

static void ready(struct source *source, uint32_t events)
{
	struct process_output *output = container_of(source, struct process_output, source);
	struct process *process = output->process;
	if (process->pty && (events & EPOLLOUT))
		process_input_ready(process);
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		output->readable = true;
	uint64_t head = process->ring.head;
	process_pump(process);
	if (process->ring.head != head)
		rest_after_output(process);
}

void process_output_open(struct process *process, struct process_output *output, int fd, uint8_t channel)
{
	*output = (struct process_output){ .source = { .fd = fd, .ready = ready }, .process = process, .channel = channel };
	process->pump_task.run = pump_again;
	process->rest.fire = rest_over;
	if (fd >= 0 && !loop_add(&output->source, EPOLLIN | EPOLLET | (process->pty ? EPOLLOUT : 0)))
		loop_close(&output->source);
}

static void grace_over(struct timer *timer)
{
	struct process *process = container_of(timer, struct process, terminal_grace);
	if (process->outputs[0].readable) {
		/* Not late: a reader without credit holds it up. */
		loop_timer(timer, TERMINAL_GRACE_MS);
		return;
	}
	process->outputs[0].until_end = 0;
	mark_end(process);
}

void process_output_ended(struct process *process)
{
	for (int i = 0; i < 2; i++) {
		struct process_output *output = &process->outputs[i];
		int waiting = 0;
		if (output->source.fd < 0)
			continue;
		output->readable = true;
		if (process->pty) {
			output->until_end = UINT64_MAX;
			process->terminal_grace.fire = grace_over;
			loop_timer(&process->terminal_grace, TERMINAL_GRACE_MS);
		} else if (ioctl(output->source.fd, FIONREAD, &waiting) == 0 && waiting > 0) {
			output->until_end = (uint64_t)waiting;
		}
	}
	process_pump(process);
}
