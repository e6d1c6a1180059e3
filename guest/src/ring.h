/*
 * The newest output of a process: a ring of bytes, each run of them tagged with
 * its channel. Positions count bytes since the process began and only grow.
 */
#ifndef DORMOUSE_RING_H
#define DORMOUSE_RING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

struct ring_run {
	uint64_t end;    /* position after the run's last byte */
	uint8_t channel;
};

struct ring {
	uint8_t *data;
	uint32_t size;
	uint64_t head;   /* position of the next byte to come */
	uint64_t tail;   /* position of the oldest byte kept */
	struct ring_run *runs;
	uint32_t run_capacity;
	uint32_t run_first;
	uint32_t run_count;
};

bool ring_init(struct ring *ring, uint32_t size);
void ring_free(struct ring *ring);
/*
 * Room for new bytes of a channel, contiguous, at most ring->size. Bytes before
 * `keep` may be dropped for it, later ones not. *length is 0 when there is none.
 */
uint8_t *ring_reserve(struct ring *ring, uint64_t keep, uint8_t channel, uint32_t *length);
/* The same, all the room there is, in up to two pieces; returns how many bytes that is. */
uint32_t ring_reserve_all(struct ring *ring, uint64_t keep, uint8_t channel, struct iovec pieces[2]);
/* The first `length` bytes of the last reservation now hold output of `channel`. */
void ring_commit(struct ring *ring, uint32_t length, uint8_t channel);
/* Contiguous bytes of one channel from `position` on; *length is 0 at the head. */
const uint8_t *ring_peek(const struct ring *ring, uint64_t position, uint32_t *length, uint8_t *channel);

#endif
