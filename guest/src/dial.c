/* DIAL: a TCP connection inside the guest, bytes moved straight between socket and link. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "job.h"
#include "link.h"
#include "loop.h"
#include "operations.h"

#define DEFAULT_TIMEOUT_MS 5000u
#define MAX_ADDRESSES 4
#define MAX_HOST_BYTES 255u

struct address {
	struct sockaddr_storage storage;
	socklen_t length;
};

struct target {
	char host[MAX_HOST_BYTES + 1];
	uint16_t port;
	uint32_t timeout_ms;
	struct address addresses[MAX_ADDRESSES];
	int count;
};

struct connection {
	struct source source;
	struct timer timeout;
	struct stream *stream;
	struct target target;
	int next_address;
	bool refused;            /* by one of the addresses: says more than what others answer */
	bool connected;
	bool readable;
	bool read_ended;         /* END was sent to the host */
	bool writable;
	bool write_ended;        /* half-closed after the host's END, or the peer takes no more */
	bool write_failed;       /* the latter */
	struct packet_list outgoing;
};

static void add_address(struct target *target, const struct sockaddr *address, socklen_t length)
{
	if (target->count == MAX_ADDRESSES || length > sizeof target->addresses[0].storage)
		return;
	struct address *slot = &target->addresses[target->count++];
	memcpy(&slot->storage, address, length);
	slot->length = length;
}

static bool add_literal(struct target *target, const char *text)
{
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(target->port) };
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(target->port) };
	if (inet_pton(AF_INET, text, &four.sin_addr) == 1)
		add_address(target, (struct sockaddr *)&four, sizeof four);
	else if (inet_pton(AF_INET6, text, &six.sin6_addr) == 1)
		add_address(target, (struct sockaddr *)&six, sizeof six);
	else
		return false;
	return true;
}

static void release(struct connection *c)
{
	loop_timer_cancel(&c->timeout);
	loop_close(&c->source);
	packet_drop_all(&c->outgoing);
	free(c);
}

static void on_release(struct stream *stream) { release(stream->owner); }

static void fail(struct connection *c, int error)
{
	struct result result;
	char name[MAX_HOST_BYTES + 16];
	snprintf(name, sizeof name, "%s:%u", c->target.host[0] ? c->target.host : "localhost", c->target.port);
	result_errno(&result, error, name);
	stream_close(c->stream, &result);
}

/* Both directions have ended. */
static bool finish_if_over(struct connection *c)
{
	if (!c->read_ended || !c->write_ended)
		return false;
	stream_close_ok(c->stream);
	return true;
}

/*
 * The peer takes no more. It may have answered before it had read everything, so
 * its answer is read to the end. False when the stream was closed.
 */
static bool stop_writing(struct connection *c)
{
	struct packet *packet;
	while ((packet = packet_take(&c->outgoing))) {
		stream_consumed(c->stream, packet->length - packet->offset);
		packet_free(packet);
	}
	c->write_ended = true;
	c->write_failed = true;
	c->readable = true;
	stream_kick(c->stream);
	return !finish_if_over(c);
}

/* Writes what the host has sent; false when the stream was closed over it. */
static bool flush(struct connection *c)
{
	while (c->outgoing.first && c->writable) {
		struct packet *packet = c->outgoing.first;
		ssize_t n = send(c->source.fd, packet->data + packet->offset, packet->length - packet->offset, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			c->writable = false;
			return true;
		}
		if (n < 0)
			return stop_writing(c);
		packet->offset += (uint32_t)n;
		stream_consumed(c->stream, (uint32_t)n);
		if (packet->offset == packet->length)
			packet_free(packet_take(&c->outgoing));
	}
	if (!c->outgoing.first && c->stream->host_ended && !c->write_ended) {
		c->write_ended = true;
		shutdown(c->source.fd, SHUT_WR);
		return !finish_if_over(c);
	}
	return true;
}

static void on_data(struct stream *stream, const uint8_t *bytes, uint32_t length)
{
	struct connection *c = stream->owner;
	if (c->write_ended) {
		stream_consumed(stream, length);
		return;
	}
	if (c->connected && c->writable && !c->outgoing.first) {
		ssize_t n = send(c->source.fd, bytes, length, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			stream_consumed(stream, length);
			stop_writing(c);
			return;
		}
		if (n > 0) {
			stream_consumed(stream, (uint32_t)n);
			bytes += n;
			length -= (uint32_t)n;
		}
		if (!length)
			return;
	}
	struct packet *packet = packet_copy(FRAME_DATA, bytes, length);
	if (!packet) {
		link_give_up();
		return;
	}
	packet_append(&c->outgoing, packet);
	if (c->connected)
		flush(c);
}

static void on_end(struct stream *stream)
{
	struct connection *c = stream->owner;
	if (c->connected)
		flush(c);
}

static uint32_t on_pull(struct stream *stream, uint8_t *buffer, uint32_t max, uint8_t *channel)
{
	struct connection *c = stream->owner;
	*channel = CHANNEL_PLAIN;
	while (c->readable && !c->read_ended && max) {
		ssize_t n = recv(c->source.fd, buffer, max, 0);
		if (n > 0)
			return (uint32_t)n;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			c->readable = false;
			return 0;
		}
		/* A connection is reset when its peer closes it without having read everything. */
		if (n < 0 && c->outgoing.first)
			stop_writing(c);
		if (n < 0 && !c->write_failed) {
			fail(c, errno);
			return 0;
		}
		struct packet *end = packet_new(FRAME_END, 0);
		if (!end) {
			link_give_up();
			return 0;
		}
		c->read_ended = true;
		stream_send(stream, end);
		finish_if_over(c);
		return 0;
	}
	return 0;
}

static const struct stream_ops connection_ops = {
	.data = on_data,
	.end = on_end,
	.pull = on_pull,
	.release = on_release,
};

static void connect_next(struct connection *c, int error);

static void connected(struct connection *c)
{
	int on = 1;
	c->connected = true;
	c->writable = true;
	loop_timer_cancel(&c->timeout);
	setsockopt(c->source.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	struct message message = message_begin(MESSAGE_CONNECTED, 0);
	stream_send(c->stream, message_finish(&message));
	if (flush(c))
		stream_kick(c->stream);
}

static void ready(struct source *source, uint32_t events)
{
	struct connection *c = container_of(source, struct connection, source);
	if (!c->connected) {
		int error = 0;
		socklen_t length = sizeof error;
		if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
			return;
		getsockopt(source->fd, SOL_SOCKET, SO_ERROR, &error, &length);
		if (error) {
			connect_next(c, error);
			return;
		}
		connected(c);
		return;
	}
	if (events & EPOLLOUT)
		c->writable = true;
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
		c->readable = true;
		stream_kick(c->stream);
	}
	flush(c);
}

static void timed_out(struct timer *timer)
{
	fail(container_of(timer, struct connection, timeout), ETIMEDOUT);
}

/* Tries the next address; `error` is why the former failed. */
static void connect_next(struct connection *c, int error)
{
	c->refused = c->refused || error == ECONNREFUSED;
	while (c->next_address < c->target.count) {
		const struct address *address = &c->target.addresses[c->next_address++];
		loop_close(&c->source);
		c->source.ready = ready;
		c->source.fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (c->source.fd < 0) {
			error = errno;
			continue;
		}
		/* Edge-triggered from here on; data that comes with the connection is an event too. */
		c->readable = true;
		if (connect(c->source.fd, (const struct sockaddr *)&address->storage, address->length) < 0 && errno != EINPROGRESS) {
			error = errno;
			continue;
		}
		if (loop_add(&c->source, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET))
			return;
		error = errno;
	}
	fail(c, c->refused ? ECONNREFUSED : error);
}

static void open_connection(struct stream *stream, const struct target *target)
{
	struct connection *c = calloc(1, sizeof *c);
	if (!c) {
		stream_close_with(stream, RESULT_RESOURCE_EXHAUSTED, ENOMEM, "memory is short");
		return;
	}
	c->source.fd = -1;
	c->stream = stream;
	c->target = *target;
	c->timeout.fire = timed_out;
	stream->owner = c;
	stream->ops = &connection_ops;
	loop_timer(&c->timeout, target->timeout_ms);
	connect_next(c, EADDRNOTAVAIL);
}

/* Names are looked up on a worker: the resolver blocks. */
struct lookup {
	struct job job;
	struct target target;
};

static enum job_next lookup_step(struct job *job)
{
	struct target *target = &container_of(job, struct lookup, job)->target;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;
	char port[8];
	snprintf(port, sizeof port, "%u", target->port);
	if (getaddrinfo(target->host, port, &hints, &list) != 0 || !list) {
		result_fail(&job->result, RESULT_NOT_FOUND, 0, "%s: no such host", target->host);
		return JOB_DONE;
	}
	for (const struct addrinfo *i = list; i; i = i->ai_next)
		add_address(target, i->ai_addr, i->ai_addrlen);
	freeaddrinfo(list);
	return job_ok(job);
}

static bool lookup_finish(struct job *job)
{
	struct lookup *lookup = container_of(job, struct lookup, job);
	struct stream *stream = job->stream;
	if (!stream || job->result.code != RESULT_OK)
		return false;
	if (job_cancelled(job)) {
		job_cancel(job);
		return false;
	}
	bool ended;
	struct packet_list early = job_take_input(job, &ended);
	job->stream = NULL;
	open_connection(stream, &lookup->target);
	for (struct packet *packet = packet_take(&early); packet; packet = packet_take(&early)) {
		if (stream->ops && stream->ops->data)
			stream->ops->data(stream, packet->data, packet->length);
		packet_free(packet);
	}
	return true;
}

static const struct job_ops lookup_ops = { .lane = LANE_LOOKUP, .step = lookup_step, .finish = lookup_finish };

void dial(struct stream *stream, struct reader *arguments)
{
	struct target target = { .port = read_u16(arguments) };
	copy_string(target.host, sizeof target.host, read_string(arguments, MAX_HOST_BYTES));
	target.timeout_ms = read_u32(arguments);
	if (!target.timeout_ms)
		target.timeout_ms = DEFAULT_TIMEOUT_MS;
	if (!reader_done(arguments) || !target.port) {
		stream_close_with(stream, RESULT_INVALID_ARGUMENT, 0, "malformed arguments");
		return;
	}
	if (!target.host[0] || strcmp(target.host, "localhost") == 0) {
		add_literal(&target, "127.0.0.1");
		add_literal(&target, "::1");
	} else if (!add_literal(&target, target.host)) {
		struct lookup *lookup = job_new(sizeof *lookup, &lookup_ops);
		if (!lookup) {
			stream_close_with(stream, RESULT_RESOURCE_EXHAUSTED, ENOMEM, "memory is short");
			return;
		}
		lookup->target = target;
		job_start(&lookup->job, stream);
		/* The resolver reads files of the workload's, and asks a server that may not answer. */
		job_limit(&lookup->job, target.timeout_ms, lookup->target.host);
		return;
	}
	open_connection(stream, &target);
}
