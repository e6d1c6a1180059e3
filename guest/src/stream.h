/*
 * The streams of the session: their credit, what they have queued for the host,
 * and the turn they take on the link. Main thread only.
 */
#ifndef DORMOUSE_STREAM_H
#define DORMOUSE_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "packet.h"
#include "result.h"

struct stream;

/* What an operation does with its stream. Every member may be NULL. */
struct stream_ops {
	/* Bytes from the host. The taker calls stream_consumed() as it gets rid of them. */
	void (*data)(struct stream *stream, const uint8_t *bytes, uint32_t length);
	void (*end)(struct stream *stream);
	/* The host asks to stop; the operation answers by stream_close(), now or later.
	 * Without this member the stream is closed as cancelled. */
	void (*cancel)(struct stream *stream);
	/* Fills `buffer` with up to `max` bytes of one channel once all queued packets
	 * are gone; 0: nothing for now, or packets were queued instead. */
	uint32_t (*pull)(struct stream *stream, uint8_t *buffer, uint32_t max, uint8_t *channel);
	/* Queued bytes went out, or credit came. */
	void (*progress)(struct stream *stream, uint32_t sent);
	/* The stream is over (closed, or its session ended): the owner lets go of it. */
	void (*release)(struct stream *stream);
};

struct stream {
	uint32_t id;
	int64_t credit;            /* bytes the host will take; below 0 after a MESSAGE */
	uint32_t credit_to_guest;  /* bytes the host may still send */
	uint32_t consumed;         /* bytes consumed and not yet granted again */
	bool host_ended;
	bool closed;               /* CLOSE is queued; the owner is gone */
	bool young;                /* belongs to a program just started: never paced */
	bool paced;                /* waits for the pace instead of standing in line */
	uint64_t sent;
	uint64_t not_before_ms;
	const struct stream_ops *ops;
	void *owner;
	struct packet_list queue;
	struct stream *next_in_bucket;
	struct stream *next_ready;
	bool ready;
};

/* For the owners of streams. */
void stream_kick(struct stream *stream);
void stream_send(struct stream *stream, struct packet *packet);
void stream_consumed(struct stream *stream, uint32_t bytes);
void stream_close(struct stream *stream, const struct result *result);
void stream_close_ok(struct stream *stream);
void stream_close_with(struct stream *stream, enum result_code code, int error, const char *message);

/*
 * While something is in a hurry (a program is being started), streams that have
 * sent a lot are held to a modest pace: a flood costs processor time in the
 * program, the kernel, here and on the host, and a start would wait for all of
 * it. A paced program blocks on its full pipe.
 */
void stream_hurry(bool on);

/* For the link. */
struct stream *stream_new(uint32_t id, uint32_t credit);
struct stream *stream_find(uint32_t id);
uint32_t stream_count(void);
bool stream_any_ready(void);
void stream_credit(struct stream *stream, uint32_t bytes);
void stream_cancel(struct stream *stream);
/* Ends every stream of the session without a word to the host. */
void stream_drop_all(void);
/* Writes the next frame of the streams in turn; 0 when none has anything.
 * `out` has room for FRAME_OVERHEAD + MAX_PAYLOAD bytes. */
uint32_t stream_next_frame(uint8_t *out, uint32_t epoch, uint32_t max_data);

/* Writes one frame and returns its size. */
uint32_t frame_write(uint8_t *out, uint32_t epoch, uint32_t stream, enum frame_type type, uint8_t channel,
		     const void *payload, uint32_t length);

#endif
