#include "link.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "loop.h"
#include "operations.h"
#include "packet.h"
#include "stream.h"

/* Room for one whole frame and a good piece of the next. */
#define IN_BYTES (FRAME_OVERHEAD + MAX_PAYLOAD + 65536u)
#define OUT_BYTES (FRAME_OVERHEAD + MAX_PAYLOAD + 131072u)
/* The virtio console driver copies at most this much per write; more in the
 * buffer would only delay streams that become ready later. */
#define OUT_LOW_WATER 32768u
/* Per turn, so that a flood in one direction leaves time for everything else. */
#define READ_BUDGET 262144u
#define WRITE_BUDGET 131072u
/* PONGs and refusals waiting to be sent beyond this stop the reading. */
#define CONTROL_LIMIT 65536u
/* The port wakes its writer when the host has taken something. This covers a
 * wake-up lost while the machine was being restored. */
#define RECHECK_MS 250u
/* A port tells of a disconnection and of the bytes of the next connection in no
 * fixed order. Only one that lasts this long ends the session; any other is
 * followed by a greeting. */
#define DISCONNECT_MS 1000u

static uint8_t in_buffer[IN_BYTES];
static uint8_t out_buffer[OUT_BYTES];

static struct {
	struct source source;
	enum link_transport transport;
	bool speaking;          /* greeted; false: hunting */
	bool readable;
	bool blocked;           /* the transport takes nothing for now */
	bool give_up;
	bool paused;            /* input waits until answers have gone out */
	uint32_t epoch;
	uint32_t max_data;
	uint32_t last_stream;
	uint32_t in_length;
	uint32_t out_offset;
	uint32_t out_length;
	struct packet_list control;
	uint8_t *in;
	uint8_t *out;
} state = { .source = { .fd = -1 }, .in = in_buffer, .out = out_buffer };

static void work(struct task *task);
static void recheck(struct timer *timer);
static struct task work_task = { .run = work };
static struct timer recheck_timer = { .fire = recheck };
static void check_connection(struct timer *timer);
static struct timer disconnect_timer = { .fire = check_connection };

void link_wants_to_write(void)
{
	if (!state.blocked)
		loop_task(&work_task);
}

void link_give_up(void)
{
	state.give_up = true;
	loop_task(&work_task);
}

static void end_session(void)
{
	state.speaking = false;
	state.give_up = false;
	stream_drop_all();
	packet_drop_all(&state.control);
	state.out_offset = state.out_length = 0;
}

static void greet(uint32_t epoch, uint32_t version, uint32_t max_payload)
{
	end_session();
	memcpy(state.out, WELCOME_MAGIC, GREETING_MAGIC_BYTES);
	store32(state.out + 16, PROTOCOL_VERSION);
	store32(state.out + 20, epoch);
	store32(state.out + 24, MAX_PAYLOAD);
	store32(state.out + 28, 0);
	state.out_length = GREETING_BYTES;
	state.epoch = epoch;
	state.last_stream = 0;
	state.max_data = max_payload < MAX_DATA_TO_HOST ? max_payload : MAX_DATA_TO_HOST;
	state.speaking = version == PROTOCOL_VERSION;
	link_wants_to_write();
}

/* Looks for a HELLO and returns how many bytes are done with. */
static uint32_t hunt(const uint8_t *data, uint32_t length)
{
	uint32_t at = 0;
	while (at < length) {
		const uint8_t *found = memchr(data + at, (uint8_t)HELLO_MAGIC[0], length - at);
		if (!found)
			return length;
		at = (uint32_t)(found - data);
		uint32_t have = length - at;
		if (memcmp(found, HELLO_MAGIC, have < GREETING_MAGIC_BYTES ? have : GREETING_MAGIC_BYTES) != 0) {
			at++;
			continue;
		}
		if (have < GREETING_BYTES)
			return at;
		uint32_t version = load32(found + 16);
		uint32_t epoch = load32(found + 20);
		uint32_t max_payload = load32(found + 24);
		if (epoch == 0 || epoch == UINT32_MAX || max_payload == 0) {
			at++;
			continue;
		}
		greet(epoch, version, max_payload);
		return at + GREETING_BYTES;
	}
	return at;
}

static void control_send(uint32_t stream, enum frame_type type, const void *payload, uint32_t length)
{
	struct packet *packet = packet_new(FRAME_DATA, FRAME_OVERHEAD + length);
	if (!packet) {
		link_give_up();
		return;
	}
	packet->length = frame_write(packet->data, state.epoch, stream, type, 0, payload, length);
	packet_append(&state.control, packet);
	link_wants_to_write();
}

static void refuse(uint32_t id)
{
	struct result result;
	result_fail(&result, RESULT_RESOURCE_EXHAUSTED, 0, "too many open streams");
	struct packet *packet = packet_close(&result);
	if (!packet) {
		link_give_up();
		return;
	}
	control_send(id, FRAME_CLOSE, packet->data, packet->length);
	packet_free(packet);
}

static bool take_open(uint32_t id, uint8_t *payload, uint32_t length)
{
	if (id <= state.last_stream || length < OPEN_HEADER_BYTES || load16(payload + 2) != 0)
		return false;
	state.last_stream = id;
	struct stream *stream = stream_count() < MAX_STREAMS ? stream_new(id, load32(payload + 4)) : NULL;
	if (!stream) {
		refuse(id);
		return true;
	}
	struct reader arguments = reader_over(payload + OPEN_HEADER_BYTES, length - OPEN_HEADER_BYTES);
	operation_open(stream, load16(payload), &arguments);
	return true;
}

static bool take_data(struct stream *stream, const uint8_t *payload, uint32_t length)
{
	if (stream->host_ended || length > stream->credit_to_guest)
		return false;
	stream->credit_to_guest -= length;
	if (stream->ops && stream->ops->data && !stream->closed)
		stream->ops->data(stream, payload, length);
	else
		stream_consumed(stream, length);
	return true;
}

/* False: the frame violates the protocol. */
static bool take_frame(uint32_t id, uint8_t type, uint8_t *payload, uint32_t length)
{
	if (id == 0) {
		if (type == FRAME_PING)
			control_send(0, FRAME_PONG, payload, length);
		return type == FRAME_PING || type == FRAME_PONG;
	}
	if (type == FRAME_OPEN)
		return take_open(id, payload, length);
	if (type == FRAME_PING || type == FRAME_PONG || id > state.last_stream)
		return false;
	struct stream *stream = stream_find(id);
	if (!stream)
		return true;
	switch (type) {
	case FRAME_DATA:
		return take_data(stream, payload, length);
	case FRAME_CREDIT:
		/* More than any host can mean: a counter that overflowed. */
		if (stream->credit > (int64_t)1 << 40)
			return false;
		stream_credit(stream, load32(payload));
		return true;
	case FRAME_END:
		if (stream->host_ended)
			return false;
		stream->host_ended = true;
		if (stream->ops && stream->ops->end && !stream->closed)
			stream->ops->end(stream);
		return true;
	case FRAME_CLOSE:
		stream_cancel(stream);
		return true;
	default:
		return false;
	}
}

/* What can be told from the header alone, before any payload has arrived. */
static bool header_valid(const uint8_t *header)
{
	uint32_t length = load32(header);
	uint8_t type = header[8];
	if (length > MAX_PAYLOAD || load16(header + 10) != 0 || (header[9] != 0 && type != FRAME_DATA))
		return false;
	switch (type) {
	case FRAME_OPEN:
		return true;
	case FRAME_DATA:
		return length <= MAX_DATA_TO_GUEST;
	case FRAME_CREDIT:
		return length == 4;
	case FRAME_END:
	case FRAME_CLOSE:
		return length == 0;
	case FRAME_PING:
	case FRAME_PONG:
		return length <= MAX_PING;
	default:
		return false;
	}
}

/* Takes one frame off the front; returns the bytes used, 0 when more are needed. */
static uint32_t parse_frame(uint8_t *data, uint32_t length)
{
	if (length < FRAME_HEADER_BYTES)
		return 0;
	if (!header_valid(data)) {
		/* Padding, a HELLO, or nonsense: hunt from here, these bytes included. */
		end_session();
		return 0;
	}
	uint32_t payload = load32(data);
	uint32_t size = FRAME_OVERHEAD + payload;
	if (length < size)
		return 0;
	if (load32(data + FRAME_HEADER_BYTES + payload) != state.epoch ||
	    !take_frame(load32(data + 4), data[8], data + FRAME_HEADER_BYTES, payload))
		end_session();
	return size;
}

static void parse(void)
{
	uint32_t at = 0;
	while (at < state.in_length) {
		bool speaking = state.speaking;
		uint32_t used = speaking ? parse_frame(state.in + at, state.in_length - at)
					 : hunt(state.in + at, state.in_length - at);
		at += used;
		if (!used && speaking == state.speaking)
			break;
		if (state.control.bytes > CONTROL_LIMIT) {
			state.paused = true;
			break;
		}
	}
	if (at) {
		memmove(state.in, state.in + at, state.in_length - at);
		state.in_length -= at;
	}
}

static void disconnected(void)
{
	if (state.transport == LINK_PORT) {
		loop_timer(&disconnect_timer, DISCONNECT_MS);
		return;
	}
	end_session();
	state.in_length = 0;
	loop_close(&state.source);
}

static void check_connection(struct timer *timer)
{
	(void)timer;
	struct pollfd port = { .fd = state.source.fd };
	if (poll(&port, 1, 0) > 0 && (port.revents & POLLHUP))
		end_session();
}

static void receive(void)
{
	uint32_t budget = READ_BUDGET;
	while (state.source.fd >= 0 && state.readable && state.control.bytes <= CONTROL_LIMIT) {
		if (budget == 0) {
			loop_task(&work_task);
			break;
		}
		if (state.in_length < IN_BYTES) {
			ssize_t n = read(state.source.fd, state.in + state.in_length, IN_BYTES - state.in_length);
			if (n < 0 && errno == EINTR)
				continue;
			if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
				state.readable = false;
				break;
			}
			if (n <= 0) {
				state.readable = false;
				parse();
				disconnected();
				return;
			}
			state.in_length += (uint32_t)n;
			budget -= (uint32_t)n < budget ? (uint32_t)n : budget;
		}
		if (state.in_length >= IN_BYTES / 4)
			parse();
	}
	parse();
}

static uint32_t next_frame(uint8_t *out)
{
	struct packet *packet = packet_take(&state.control);
	if (packet) {
		uint32_t size = packet->length;
		memcpy(out, packet->data, size);
		packet_free(packet);
		return size;
	}
	return state.speaking ? stream_next_frame(out, state.epoch, state.max_data) : 0;
}

static void fill(void)
{
	if (state.out_offset == state.out_length)
		state.out_offset = state.out_length = 0;
	while (state.out_length - state.out_offset < OUT_LOW_WATER) {
		if (OUT_BYTES - state.out_length < FRAME_OVERHEAD + MAX_PAYLOAD) {
			memmove(state.out, state.out + state.out_offset, state.out_length - state.out_offset);
			state.out_length -= state.out_offset;
			state.out_offset = 0;
		}
		uint32_t size = next_frame(state.out + state.out_length);
		if (!size)
			break;
		state.out_length += size;
	}
}

static void transmit(void)
{
	uint32_t budget = WRITE_BUDGET;
	while (state.source.fd >= 0 && !state.blocked) {
		fill();
		if (state.paused && state.control.bytes <= CONTROL_LIMIT) {
			state.paused = false;
			loop_task(&work_task);
		}
		if (state.out_offset == state.out_length)
			return;
		if (budget == 0) {
			loop_task(&work_task);
			return;
		}
		ssize_t n = write(state.source.fd, state.out + state.out_offset, state.out_length - state.out_offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			state.blocked = true;
			loop_timer(&recheck_timer, RECHECK_MS);
			return;
		}
		if (n < 0) {
			disconnected();
			return;
		}
		state.out_offset += (uint32_t)n;
		budget -= (uint32_t)n < budget ? (uint32_t)n : budget;
	}
}

static void work(struct task *task)
{
	(void)task;
	if (state.give_up)
		end_session();
	transmit();
	if (state.readable || state.in_length)
		receive();
}

static void recheck(struct timer *timer)
{
	(void)timer;
	if (!state.blocked)
		return;
	state.blocked = false;
	state.readable = true;
	loop_task(&work_task);
}

static void ready(struct source *source, uint32_t events)
{
	(void)source;
	if (events & (EPOLLIN | EPOLLHUP | EPOLLRDHUP | EPOLLERR))
		state.readable = true;
	if (events & EPOLLOUT)
		state.blocked = false;
	receive();
	transmit();
}

bool link_serve(int fd, enum link_transport transport)
{
	end_session();
	loop_close(&state.source);
	state.in_length = 0;
	state.transport = transport;
	state.readable = true;
	state.blocked = false;
	state.source = (struct source){ .fd = fd, .ready = ready };
	/* Edge-triggered: a port without a host reports EPOLLHUP all the time. */
	if (!loop_add(&state.source, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)) {
		close(fd);
		state.source.fd = -1;
		return false;
	}
	return true;
}

void link_drain(unsigned timeout_ms)
{
	uint64_t end = now_ms() + timeout_ms;
	while (state.source.fd >= 0) {
		state.blocked = false;
		transmit();
		uint64_t now = now_ms();
		if (!state.blocked || now >= end)
			return;
		struct pollfd wait = { .fd = state.source.fd, .events = POLLOUT };
		poll(&wait, 1, (int)(end - now));
	}
}
