#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <termios.h>
#include <unistd.h>

#include "link.h"
#include "process.h"

static int input_fd(const struct process *process)
{
	return process->pty ? process->outputs[0].source.fd : process->input.source.fd;
}

static void piece_done(struct process *process, struct input_piece *piece, bool written)
{
	struct stream *stream = piece->stream;
	if (stream && piece->length > piece->offset)
		stream_consumed(stream, piece->length - piece->offset);
	if (stream && piece->close_stream) {
		process_input_forget_stream(process, stream);
		if (written)
			stream_close_ok(stream);
		else
			stream_close_with(stream, RESULT_FAILED_PRECONDITION, 0, "the process's input is closed");
	}
	free(piece);
}

void process_input_shut(struct process *process)
{
	struct process_input *input = &process->input;
	input->open = false;
	loop_close(&input->source);
	while (input->first) {
		struct input_piece *piece = input->first;
		input->first = piece->next;
		piece_done(process, piece, false);
	}
	input->last = NULL;
}

/* A terminal has no end of its own: its line discipline makes one of this character. False: there is no room for it yet. */
static bool write_end_of_file(struct process *process)
{
	struct termios settings;
	char end_of_file = 4;
	ssize_t n;
	if (tcgetattr(input_fd(process), &settings) == 0 && settings.c_cc[VEOF])
		end_of_file = (char)settings.c_cc[VEOF];
	do
		n = write(input_fd(process), &end_of_file, 1);
	while (n < 0 && errno == EINTR);
	return n >= 0 || errno != EAGAIN;
}

/* Writes queued pieces until the process takes no more. */
void process_input_ready(struct process *process)
{
	struct process_input *input = &process->input;
	input->blocked = false;
	while (input->open && input->first) {
		struct input_piece *piece = input->first;
		while (piece->offset < piece->length) {
			ssize_t n = write(input_fd(process), piece->data + piece->offset, piece->length - piece->offset);
			if (n < 0 && errno == EINTR)
				continue;
			if (n < 0 && errno == EAGAIN) {
				input->blocked = true;
				return;
			}
			if (n < 0) {
				process_input_shut(process);
				return;
			}
			piece->offset += (uint32_t)n;
			if (piece->stream)
				stream_consumed(piece->stream, (uint32_t)n);
		}
		bool close_input = piece->close_input;
		if (close_input && process->pty && !write_end_of_file(process)) {
			input->blocked = true;
			return;
		}
		input->first = piece->next;
		if (!input->first)
			input->last = NULL;
		piece_done(process, piece, true);
		if (close_input && !process->pty)
			process_input_shut(process);
	}
}

static void pipe_ready(struct source *source, uint32_t events)
{
	struct process *process = container_of(source, struct process, input.source);
	if (events & (EPOLLERR | EPOLLHUP)) {
		/* Nobody reads any more. */
		process_input_shut(process);
		return;
	}
	process_input_ready(process);
}

void process_input_open(struct process *process, int fd)
{
	process->input.source = (struct source){ .fd = fd, .ready = pipe_ready };
	process->input.open = process->pty || fd >= 0;
	if (fd >= 0 && !loop_add(&process->input.source, EPOLLOUT | EPOLLET))
		process_input_shut(process);
}

static struct input_piece *enqueue(struct process *process, struct stream *stream, const uint8_t *data, uint32_t length)
{
	struct process_input *input = &process->input;
	struct input_piece *piece = calloc(1, sizeof *piece + length);
	if (!piece) {
		link_give_up();
		return NULL;
	}
	piece->stream = stream;
	piece->length = length;
	if (length)
		memcpy(piece->data, data, length);
	if (input->last)
		input->last->next = piece;
	else
		input->first = piece;
	input->last = piece;
	return piece;
}

void process_input_write(struct process *process, struct stream *stream, const uint8_t *data, uint32_t length)
{
	struct process_input *input = &process->input;
	if (!input->open) {
		stream_consumed(stream, length);
		return;
	}
	if (!input->first && !input->blocked) {
		ssize_t n = write(input_fd(process), data, length);
		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			stream_consumed(stream, length);
			process_input_shut(process);
			return;
		}
		if (n > 0) {
			stream_consumed(stream, (uint32_t)n);
			data += n;
			length -= (uint32_t)n;
		}
		if (!length)
			return;
		input->blocked = n < 0 && errno == EAGAIN;
	}
	enqueue(process, stream, data, length);
	if (!input->blocked)
		process_input_ready(process);
}

void process_input_finish(struct process *process, struct stream *stream, bool close_input, bool close_stream)
{
	struct process_input *input = &process->input;
	if (input->open) {
		struct input_piece *piece = enqueue(process, stream, NULL, 0);
		if (!piece)
			return;
		piece->close_input = close_input;
		piece->close_stream = close_stream;
		if (!input->blocked)
			process_input_ready(process);
		return;
	}
	if (close_stream)
		stream_close_with(stream, RESULT_FAILED_PRECONDITION, 0, "the process's input is closed");
}

void process_input_forget_stream(struct process *process, const struct stream *stream)
{
	for (struct input_piece *piece = process->input.first; piece; piece = piece->next)
		if (piece->stream == stream)
			piece->stream = NULL;
}
