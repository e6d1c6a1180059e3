/* Ring, wire and stream credit, each against a plain model or by exact values. Prints TAP. */
#include <stdlib.h>
#include <string.h>

#include "../src/environment.h"
#include "../src/link.h"
#include "../src/path.h"
#include "../src/ring.h"
#include "../src/stream.h"
#include "../src/wire.h"
#include "tap.h"

/* The link below the streams is not part of these tests. */
void link_wants_to_write(void) {}
void link_give_up(void) {}

static uint32_t random_state = 12345;
static uint32_t random_number(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return random_state;
}

/* Every byte of the history, with its channel. */
#define HISTORY (1u << 20)
static uint8_t history[HISTORY];
static uint8_t channels[HISTORY];

static bool ring_holds_history(const struct ring *ring)
{
	for (uint64_t at = ring->tail; at < ring->head;) {
		uint32_t length;
		uint8_t channel;
		const uint8_t *bytes = ring_peek(ring, at, &length, &channel);
		if (!bytes || !length)
			return false;
		for (uint32_t i = 0; i < length; i++)
			if (bytes[i] != history[at + i] || channel != channels[at + i])
				return false;
		at += length;
	}
	return true;
}

static void test_ring(void)
{
	struct ring ring;
	bool good = ring_init(&ring, 4096);
	uint64_t reader = 0;
	while (good && ring.head < HISTORY - 4096) {
		uint8_t channel = (uint8_t)(1 + random_number() % 2);
		bool attached = random_number() % 4 != 0;
		uint32_t room;
		if (!attached || reader < ring.tail)
			reader = ring.head;
		uint8_t *into = ring_reserve(&ring, reader, channel, &room);
		uint32_t length = random_number() % 300;
		if (length > room)
			length = room;
		if (!into) {
			/* Only a reader that lags behind stops the writer. */
			good = reader < ring.head;
			reader = ring.head;
			continue;
		}
		uint64_t head = ring.head;
		for (uint32_t i = 0; i < length; i++) {
			into[i] = history[head + i] = (uint8_t)random_number();
			channels[head + i] = channel;
		}
		ring_commit(&ring, length, channel);
		good = good && ring.tail <= reader && ring.head - ring.tail <= 4096 && ring_holds_history(&ring);
		if (attached && reader < ring.head)
			reader += random_number() % (ring.head - reader + 1);
	}
	check(good, "ring: holds the newest bytes with their channels and never drops what a reader lacks");
	struct iovec pieces[2];
	uint32_t all = ring_reserve_all(&ring, ring.head - 100, 1, pieces);
	check(all == 3996 && pieces[0].iov_len + pieces[1].iov_len == all && pieces[0].iov_base == ring.data + ring.head % 4096,
	      "ring: all the room there is, beyond its end too");
	uint32_t room = 1;
	ring_reserve(&ring, ring.head, 1, &room);
	check(room > 0, "ring: without a reader there is always room");
	ring_free(&ring);
}

static void test_wire(void)
{
	uint8_t bytes[] = { 3, 0, 0, 0, 'a', 'b', 'c', 0, 0, 0, 0, 7, 0, 2, 0, 0, 0, 'x', 0 };
	struct reader r = reader_over(bytes, sizeof bytes);
	check(strcmp(read_string(&r, 3), "abc") == 0, "wire: a string is terminated in place");
	check(strcmp(read_string(&r, 3), "") == 0 && read_u16(&r) == 7 && !r.bad, "wire: an empty string does not disturb what follows");
	check(strcmp(read_string(&r, 10), "") == 0 && r.bad && !reader_done(&r), "wire: a NUL inside a string is refused");
	uint8_t claims[] = { 255, 255, 255, 255, 1 };
	r = reader_over(claims, sizeof claims);
	check(read_bytes(&r, UINT32_MAX).length == 0 && r.bad, "wire: a length beyond the end is refused");
	uint8_t small[6];
	struct writer w = { .data = small, .capacity = sizeof small };
	write_u32(&w, 0x04030201);
	write_u32(&w, 5);
	check(w.full && w.length == 4 && small[0] == 1 && small[3] == 4, "wire: a writer stops at its end");
}

static void test_paths(void)
{
	char out[32];
	check(path_expand("a//b/./c/", "/home/u", out, sizeof out) && strcmp(out, "/home/u/a/b/c") == 0, "path: relative to the home");
	check(path_expand("~", "/home/u", out, sizeof out) && strcmp(out, "/home/u") == 0, "path: the home itself");
	check(path_expand("~/x/../y", "/h", out, sizeof out) && strcmp(out, "/h/x/../y") == 0, "path: below the home, dot-dot stays");
	check(path_expand("//", "/h", out, sizeof out) && strcmp(out, "/") == 0, "path: the root");
	check(!path_expand("/0123456789/0123456789/0123456789", "/h", out, sizeof out), "path: too long is refused");
}

static void test_environment(void)
{
	char a1[] = "A=1", b[] = "B=", a2[] = "A=2", ab[] = "AB=3", odd[] = "A", b2[] = "B=b=c";
	char *list[] = { a1, b, a2, ab, odd, b2 };
	uint32_t count = 6;
	check(environment_unique(list, &count) && count == 3 && list[0] == odd && list[1] == b2 && list[2] == ab,
	      "environment: of each name the last, where the first stood");
	enum { MANY = 200000 };
	static char names[MANY][12];
	static char *many[MANY];
	for (int i = 0; i < MANY; i++) {
		snprintf(names[i], sizeof names[i], "N%d=", i % (MANY / 2));
		many[i] = names[i];
	}
	count = MANY;
	check(environment_unique(many, &count) && count == MANY / 2 && many[7] == names[MANY / 2 + 7], "environment: many names");
}

static uint32_t endless(struct stream *stream, uint8_t *buffer, uint32_t max, uint8_t *channel)
{
	(void)stream;
	*channel = 1;
	memset(buffer, 'x', max);
	return max;
}

static void test_streams(void)
{
	static uint8_t out[FRAME_OVERHEAD + MAX_PAYLOAD];
	static const struct stream_ops flood = { .pull = endless };
	struct stream *a = stream_new(1, 100000);
	struct stream *b = stream_new(2, 100000);
	a->ops = b->ops = &flood;
	stream_kick(a);
	stream_kick(b);
	uint32_t sizes[5];
	uint32_t ids[5];
	for (int i = 0; i < 5; i++) {
		sizes[i] = stream_next_frame(out, 7, MAX_DATA_TO_HOST);
		ids[i] = load32(out + 4);
	}
	check(ids[0] == 1 && ids[1] == 2 && ids[2] == 1 && ids[3] == 2, "stream: served in turn, one frame each");
	check(sizes[0] == 65536 + FRAME_OVERHEAD && sizes[2] == 100000 - 65536 + FRAME_OVERHEAD && sizes[4] == 0, "stream: DATA stops at the credit");
	stream_credit(a, 10);
	check(stream_next_frame(out, 7, MAX_DATA_TO_HOST) == 10 + FRAME_OVERHEAD && a->credit == 0, "stream: CREDIT goes on where it stopped");
	struct message message = message_begin(MESSAGE_WATCHING, 0);
	stream_send(a, message_finish(&message));
	message = message_begin(MESSAGE_WATCHING, 0);
	stream_send(a, message_finish(&message));
	check(stream_next_frame(out, 7, MAX_DATA_TO_HOST) == 4 + FRAME_OVERHEAD && a->credit == -4, "stream: a MESSAGE may go below zero");
	check(stream_next_frame(out, 7, MAX_DATA_TO_HOST) == 0, "stream: but not twice");
	stream_cancel(a);
	check(stream_next_frame(out, 7, MAX_DATA_TO_HOST) > 0 && out[8] == FRAME_CLOSE && load16(out + 12) == RESULT_CANCELLED && !stream_find(1), "stream: a cancelled one is closed and gone");
	b->credit_to_guest = 0;
	stream_consumed(b, 65535);
	check(stream_next_frame(out, 7, MAX_DATA_TO_HOST) == 0, "stream: small consumption grants nothing yet");
	stream_consumed(b, 1);
	check(stream_next_frame(out, 7, MAX_DATA_TO_HOST) == 4 + FRAME_OVERHEAD && out[8] == FRAME_CREDIT && load32(out + 12) == 65536 && b->credit_to_guest == 65536, "stream: consumption grants credit");
	stream_drop_all();
	check(stream_count() == 0 && !stream_any_ready(), "stream: the end of a session leaves none");
}

int main(void)
{
	test_ring();
	test_wire();
	test_paths();
	test_environment();
	test_streams();
	return tap_end();
}
