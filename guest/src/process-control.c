/* The operations on processes that run already. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "operations.h"
#include "process.h"

/* NULL after having closed the stream. */
static struct process *known(struct stream *stream, const struct reader *arguments, uint32_t pid)
{
	char text[64];
	if (!reader_done(arguments)) {
		stream_close_with(stream, RESULT_INVALID_ARGUMENT, 0, "malformed arguments");
		return NULL;
	}
	struct process *process = process_find(pid);
	if (!process) {
		snprintf(text, sizeof text, "no process %u", pid);
		stream_close_with(stream, RESULT_NO_SUCH_PROCESS, ESRCH, text);
	}
	return process;
}

void process_attach(struct stream *stream, struct reader *arguments)
{
	uint32_t pid = read_u32(arguments);
	uint8_t backlog = read_u8(arguments);
	struct process *process = known(stream, arguments, pid);
	if (process)
		process_attach_stream(process, stream, backlog ? process->ring.tail : process->ring.head, false);
}

void process_signal(struct stream *stream, struct reader *arguments)
{
	uint32_t pid = read_u32(arguments);
	int32_t number = (int32_t)read_u32(arguments);
	struct process *process = known(stream, arguments, pid);
	if (!process)
		return;
	/* Once reaped, the number may belong to anybody. */
	if (number < 0 || number > 64)
		stream_close_with(stream, RESULT_INVALID_ARGUMENT, EINVAL, "no such signal");
	else if (!process->running)
		stream_close_with(stream, RESULT_NO_SUCH_PROCESS, ESRCH, "the process has ended");
	else if (kill(-process->pid, number) < 0)
		stream_close_with(stream, result_code_of(errno), errno, strerror(errno));
	else
		stream_close_ok(stream);
}

void process_resize(struct stream *stream, struct reader *arguments)
{
	uint32_t pid = read_u32(arguments);
	uint16_t columns = read_u16(arguments);
	uint16_t rows = read_u16(arguments);
	struct winsize size = { .ws_col = columns, .ws_row = rows };
	struct process *process = known(stream, arguments, pid);
	if (!process)
		return;
	if (!process->pty)
		stream_close_with(stream, RESULT_FAILED_PRECONDITION, 0, "the process has no terminal");
	else if (process->outputs[0].source.fd < 0)
		stream_close_with(stream, RESULT_NO_SUCH_PROCESS, ESRCH, "the process has ended");
	else if (ioctl(process->outputs[0].source.fd, TIOCSWINSZ, &size) < 0)
		stream_close_with(stream, result_code_of(errno), errno, strerror(errno));
	else
		stream_close_ok(stream);
}

/* PROCESS_INPUT: the stream follows the process only as far as its input goes. */
struct feed {
	uint64_t serial;
	bool close_input;
};

static struct process *fed(struct stream *stream)
{
	/* The process may be forgotten and freed while the stream is open. */
	const struct feed *feed = stream->owner;
	for (struct process *p = process_first; p; p = p->next)
		if (p->serial == feed->serial)
			return p;
	return NULL;
}

static void feed_data(struct stream *stream, const uint8_t *bytes, uint32_t length)
{
	struct process *process = fed(stream);
	if (process && process->input.open)
		process_input_write(process, stream, bytes, length);
	else
		stream_close_with(stream, RESULT_FAILED_PRECONDITION, 0, "the process's input is closed");
}

static void feed_end(struct stream *stream)
{
	const struct feed *feed = stream->owner;
	struct process *process = fed(stream);
	if (process)
		process_input_finish(process, stream, feed->close_input, true);
	else
		stream_close_with(stream, RESULT_FAILED_PRECONDITION, 0, "the process's input is closed");
}

static void feed_release(struct stream *stream)
{
	struct process *process = fed(stream);
	if (process)
		process_input_forget_stream(process, stream);
	free(stream->owner);
}

static const struct stream_ops feed_ops = { .data = feed_data, .end = feed_end, .release = feed_release };

void process_input(struct stream *stream, struct reader *arguments)
{
	uint32_t pid = read_u32(arguments);
	uint8_t close_input = read_u8(arguments);
	struct process *process = known(stream, arguments, pid);
	if (!process)
		return;
	struct feed *feed = process->input.open ? calloc(1, sizeof *feed) : NULL;
	if (!process->input.open) {
		stream_close_with(stream, RESULT_FAILED_PRECONDITION, 0, "the process's input is closed");
		return;
	}
	if (!feed) {
		stream_close_with(stream, RESULT_RESOURCE_EXHAUSTED, ENOMEM, "memory is short");
		return;
	}
	*feed = (struct feed){ .serial = process->serial, .close_input = close_input };
	stream->owner = feed;
	stream->ops = &feed_ops;
}

/* PROCESS_LIST: one process after the other, as credit allows. */
struct listing {
	uint32_t count;
	uint32_t next;
	uint32_t pids[];
};

static bool listed(const struct process *process)
{
	return !process->forgotten && !process->superseded && !process->unlisted;
}

static struct packet *process_message(const struct process *p)
{
	struct message message = message_begin(MESSAGE_PROCESS, 24 + p->description_bytes);
	struct writer *w = &message.body;
	write_u32(w, (uint32_t)p->pid);
	write_u8(w, p->running);
	write_u8(w, (uint8_t)((p->pty ? PROCESS_HAS_PTY : 0) | (p->input.open ? PROCESS_INPUT_OPEN : 0)));
	write_u16(w, 0);
	write_u64(w, (uint64_t)p->start_time_ms);
	write_u32(w, (uint32_t)p->exit_code);
	write_u32(w, (uint32_t)p->signal);
	struct packet *packet = message_finish(&message);
	if (packet && p->description_bytes) {
		memcpy(packet->data + packet->length, p->description, p->description_bytes);
		packet->length += p->description_bytes;
	}
	return packet;
}

static uint32_t list_pull(struct stream *stream, uint8_t *buffer, uint32_t max, uint8_t *channel)
{
	(void)buffer, (void)max, (void)channel;
	struct listing *listing = stream->owner;
	while (listing->next < listing->count) {
		const struct process *process = process_find(listing->pids[listing->next++]);
		struct packet *packet = process ? process_message(process) : NULL;
		if (packet) {
			stream_send(stream, packet);
			return 0;
		}
	}
	stream_close_ok(stream);
	return 0;
}

static void list_release(struct stream *stream) { free(stream->owner); }

static const struct stream_ops list_ops = { .pull = list_pull, .release = list_release };

void process_list(struct stream *stream, struct reader *arguments)
{
	uint32_t count = 0;
	if (!reader_done(arguments)) {
		stream_close_with(stream, RESULT_INVALID_ARGUMENT, 0, "malformed arguments");
		return;
	}
	for (const struct process *p = process_first; p; p = p->next)
		count += listed(p);
	struct listing *listing = calloc(1, sizeof *listing + count * sizeof listing->pids[0]);
	if (!listing) {
		stream_close_with(stream, RESULT_RESOURCE_EXHAUSTED, ENOMEM, "memory is short");
		return;
	}
	/* The table has the newest in front; the list goes by age. */
	uint32_t at = listing->count = count;
	for (const struct process *p = process_first; p && at; p = p->next)
		if (listed(p))
			listing->pids[--at] = (uint32_t)p->pid;
	stream->owner = listing;
	stream->ops = &list_ops;
	stream_kick(stream);
}
