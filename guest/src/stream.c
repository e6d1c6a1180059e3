#include "stream.h"

#include <stdlib.h>
#include <string.h>

#include "link.h"
#include "loop.h"

#define BUCKETS 256u
/* Granting a quarter of the window at a time keeps the host sending without a
 * CREDIT frame for every DATA frame. */
#define GRANT_STEP (INITIAL_CREDIT_TO_GUEST / 4)

/* A stream that has sent this much is a bulk transfer... */
#define BULK_BYTES (1u << 20)
/* ...and waits this long for others who are in a hurry: the time of a short
 * command, which then has the processor to itself, because a program whose
 * output nobody takes soon stands still... */
#define YIELD_MS 150u
/* ...but has had this long for itself before, so that one short command after
 * the other does not stop it for good... */
#define TURN_MS 20u
/* ...and gets one frame per this time while the hurry lasts longer. */
#define PACE_MS 10u

static struct stream *buckets[BUCKETS];
static uint32_t count;
static struct stream *ready_first;
static struct stream **ready_end = &ready_first;

static bool hurry;
static uint64_t yield_from_ms;
static uint64_t turn_ends_ms;
static void pace(struct timer *timer);
static struct timer pace_timer = { .fire = pace };

uint32_t stream_count(void) { return count; }
bool stream_any_ready(void) { return ready_first != NULL; }

struct stream *stream_find(uint32_t id)
{
	struct stream *stream = buckets[id % BUCKETS];
	while (stream && stream->id != id)
		stream = stream->next_in_bucket;
	return stream;
}

struct stream *stream_new(uint32_t id, uint32_t credit)
{
	struct stream *stream = calloc(1, sizeof *stream);
	if (!stream)
		return NULL;
	stream->id = id;
	stream->credit = credit;
	stream->credit_to_guest = INITIAL_CREDIT_TO_GUEST;
	stream->next_in_bucket = buckets[id % BUCKETS];
	buckets[id % BUCKETS] = stream;
	count++;
	return stream;
}

static void unready(struct stream *stream)
{
	if (!stream->ready)
		return;
	struct stream **at = &ready_first;
	while (*at && *at != stream)
		at = &(*at)->next_ready;
	if (*at)
		*at = stream->next_ready;
	if (ready_end == &stream->next_ready)
		ready_end = at;
	stream->ready = false;
}

static void release(struct stream *stream)
{
	const struct stream_ops *ops = stream->ops;
	stream->ops = NULL;
	if (ops && ops->release)
		ops->release(stream);
	stream->owner = NULL;
}

static void unlink_stream(struct stream *stream)
{
	struct stream **at = &buckets[stream->id % BUCKETS];
	while (*at && *at != stream)
		at = &(*at)->next_in_bucket;
	if (*at)
		*at = stream->next_in_bucket;
}

/* The stream is in no bucket any more. */
static void destroy(struct stream *stream)
{
	unready(stream);
	packet_drop_all(&stream->queue);
	free(stream);
	count--;
}

void stream_kick(struct stream *stream)
{
	if (stream->ready)
		return;
	stream->ready = true;
	stream->next_ready = NULL;
	*ready_end = stream;
	ready_end = &stream->next_ready;
	link_wants_to_write();
}

static void pace(struct timer *timer)
{
	(void)timer;
	for (uint32_t i = 0; i < BUCKETS; i++) {
		for (struct stream *stream = buckets[i]; stream; stream = stream->next_in_bucket) {
			if (stream->paced) {
				stream->paced = false;
				stream_kick(stream);
			}
		}
	}
}

void stream_hurry(bool on)
{
	if (on == hurry)
		return;
	hurry = on;
	uint64_t now = now_ms();
	if (on) {
		yield_from_ms = now > turn_ends_ms ? now : turn_ends_ms;
	} else {
		turn_ends_ms = now + TURN_MS;
		loop_timer_cancel(&pace_timer);
		pace(&pace_timer);
	}
}

/* Whether the stream has to wait; it is kicked when the wait is over. */
static bool hold_back(struct stream *stream)
{
	if (!hurry || stream->young || stream->sent < BULK_BYTES)
		return false;
	uint64_t now = now_ms();
	uint64_t yield_until_ms = yield_from_ms + YIELD_MS;
	uint64_t wait = now < yield_until_ms ? yield_until_ms - now : PACE_MS;
	if (now < yield_from_ms)
		return false;
	if (now >= yield_until_ms && now >= stream->not_before_ms) {
		stream->not_before_ms = now + PACE_MS;
		return false;
	}
	stream->paced = true;
	if (!pace_timer.armed)
		loop_timer(&pace_timer, wait);
	return true;
}

void stream_send(struct stream *stream, struct packet *packet)
{
	if (!packet)
		return;
	if (stream->closed) {
		packet_free(packet);
		return;
	}
	packet_append(&stream->queue, packet);
	stream_kick(stream);
}

void stream_consumed(struct stream *stream, uint32_t bytes)
{
	stream->consumed += bytes;
	if (stream->consumed >= GRANT_STEP && !stream->host_ended && !stream->closed)
		stream_kick(stream);
}

void stream_close(struct stream *stream, const struct result *result)
{
	if (stream->closed)
		return;
	struct packet *packet = packet_close(result);
	release(stream);
	if (!packet) {
		/* A stream that cannot say how it ended ends the session: the host
		 * must not wait for ever. */
		stream->closed = true;
		link_give_up();
		return;
	}
	stream_send(stream, packet);
	stream->closed = true;
}

void stream_close_ok(struct stream *stream)
{
	stream_close_with(stream, RESULT_OK, 0, "");
}

void stream_close_with(struct stream *stream, enum result_code code, int error, const char *message)
{
	struct result result;
	result_fail(&result, code, error, "%s", message);
	stream_close(stream, &result);
}

void stream_credit(struct stream *stream, uint32_t bytes)
{
	stream->credit += bytes;
	stream_kick(stream);
	if (stream->ops && stream->ops->progress)
		stream->ops->progress(stream, 0);
}

void stream_cancel(struct stream *stream)
{
	if (stream->closed) {
		/* Only the result is of interest now. */
		struct packet *packet;
		while ((packet = stream->queue.first) && packet->type != FRAME_CLOSE)
			packet_free(packet_take(&stream->queue));
		stream_kick(stream);
		return;
	}
	packet_drop_all(&stream->queue);
	if (stream->ops && stream->ops->cancel)
		stream->ops->cancel(stream);
	else
		stream_close_with(stream, RESULT_CANCELLED, 0, "cancelled");
}

void stream_drop_all(void)
{
	for (uint32_t i = 0; i < BUCKETS; i++) {
		struct stream *stream;
		while ((stream = buckets[i])) {
			release(stream);
			buckets[i] = stream->next_in_bucket;
			destroy(stream);
		}
	}
}

static void frame_seal(uint8_t *out, uint32_t epoch, uint32_t stream, enum frame_type type, uint8_t channel,
		       uint32_t length)
{
	store32(out, length);
	store32(out + 4, stream);
	out[8] = (uint8_t)type;
	out[9] = channel;
	store16(out + 10, 0);
	store32(out + FRAME_HEADER_BYTES + length, epoch);
}

uint32_t frame_write(uint8_t *out, uint32_t epoch, uint32_t stream, enum frame_type type, uint8_t channel,
		     const void *payload, uint32_t length)
{
	if (length)
		memcpy(out + FRAME_HEADER_BYTES, payload, length);
	frame_seal(out, epoch, stream, type, channel, length);
	return FRAME_OVERHEAD + length;
}

static uint32_t packet_frame(struct stream *stream, uint8_t *out, uint32_t epoch, uint32_t max_data)
{
	struct packet *packet = stream->queue.first;
	uint32_t length = packet->length - packet->offset;
	if (packet->type == FRAME_DATA) {
		if (stream->credit <= 0)
			return 0;
		if (length > max_data)
			length = max_data;
		if (length > stream->credit)
			length = (uint32_t)stream->credit;
	} else if (packet->type == FRAME_MESSAGE && stream->credit < 0) {
		return 0;
	}
	uint8_t type = packet->type;
	uint32_t size = frame_write(out, epoch, stream->id, type, packet->channel, packet->data + packet->offset, length);
	if (type == FRAME_DATA || type == FRAME_MESSAGE)
		stream->credit -= length;
	packet->offset += length;
	if (packet->offset == packet->length) {
		packet_free(packet_take(&stream->queue));
	}
	if (stream->ops && stream->ops->progress)
		stream->ops->progress(stream, length);
	return size;
}

static uint32_t stream_frame(struct stream *stream, uint8_t *out, uint32_t epoch, uint32_t max_data)
{
	uint32_t size = 0;
	if (stream->consumed >= GRANT_STEP && !stream->host_ended && !stream->closed) {
		uint8_t grant[4];
		store32(grant, stream->consumed);
		stream->credit_to_guest += stream->consumed;
		stream->consumed = 0;
		size = frame_write(out, epoch, stream->id, FRAME_CREDIT, 0, grant, sizeof grant);
		return size;
	}
	if (stream->queue.first)
		return packet_frame(stream, out, epoch, max_data);
	if (!stream->ops || !stream->ops->pull)
		return 0;
	uint32_t max = stream->credit > (int64_t)max_data ? max_data : stream->credit > 0 ? (uint32_t)stream->credit : 0;
	uint8_t channel = CHANNEL_PLAIN;
	uint32_t length = stream->ops->pull(stream, out + FRAME_HEADER_BYTES, max, &channel);
	if (length) {
		stream->credit -= length;
		frame_seal(out, epoch, stream->id, FRAME_DATA, channel, length);
		return FRAME_OVERHEAD + length;
	}
	return stream->queue.first ? packet_frame(stream, out, epoch, max_data) : 0;
}

uint32_t stream_next_frame(uint8_t *out, uint32_t epoch, uint32_t max_data)
{
	while (ready_first) {
		struct stream *stream = ready_first;
		ready_first = stream->next_ready;
		if (!ready_first)
			ready_end = &ready_first;
		stream->ready = false;
		if (hold_back(stream))
			continue;
		uint32_t size = stream_frame(stream, out, epoch, max_data);
		stream->sent += size;
		if (stream->closed && !stream->queue.first) {
			unlink_stream(stream);
			destroy(stream);
			return size;
		}
		if (size) {
			stream_kick(stream);
			return size;
		}
	}
	return 0;
}
