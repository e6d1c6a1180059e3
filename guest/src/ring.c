#include "ring.h"

#include <stdlib.h>

/* One run per this many bytes of ring: output that changes channel more often
 * shortens the history instead of growing the table. */
#define BYTES_PER_RUN 256u
#define MIN_RUNS 64u

bool ring_init(struct ring *ring, uint32_t size)
{
	uint32_t runs = size / BYTES_PER_RUN < MIN_RUNS ? MIN_RUNS : size / BYTES_PER_RUN;
	*ring = (struct ring){ .size = size, .run_capacity = runs };
	ring->data = malloc(size);
	ring->runs = malloc(runs * sizeof *ring->runs);
	if (!ring->data || !ring->runs) {
		ring_free(ring);
		return false;
	}
	return true;
}

void ring_free(struct ring *ring)
{
	free(ring->data);
	free(ring->runs);
	*ring = (struct ring){ 0 };
}

static struct ring_run *run_at(const struct ring *ring, uint32_t index)
{
	return &ring->runs[(ring->run_first + index) % ring->run_capacity];
}

static void drop_oldest_run(struct ring *ring)
{
	ring->run_first = (ring->run_first + 1) % ring->run_capacity;
	ring->run_count--;
}

static void drop_before(struct ring *ring, uint64_t position)
{
	if (position <= ring->tail)
		return;
	ring->tail = position;
	while (ring->run_count && run_at(ring, 0)->end <= position)
		drop_oldest_run(ring);
}

uint8_t *ring_reserve(struct ring *ring, uint64_t keep, uint8_t channel, uint32_t *length)
{
	*length = 0;
	if (!ring->data)
		return NULL;
	if (keep > ring->head)
		keep = ring->head;
	if (keep < ring->tail)
		keep = ring->tail;
	bool new_run = !ring->run_count || run_at(ring, ring->run_count - 1)->channel != channel;
	if (new_run && ring->run_count == ring->run_capacity) {
		uint64_t end = run_at(ring, 0)->end;
		if (end > keep)
			return NULL;
		drop_before(ring, end);
	}
	uint32_t at = (uint32_t)(ring->head % ring->size);
	uint32_t room = ring->size - (uint32_t)(ring->head - keep);
	if (room > ring->size - at)
		room = ring->size - at;
	*length = room;
	return ring->data + at;
}

uint32_t ring_reserve_all(struct ring *ring, uint64_t keep, uint8_t channel, struct iovec pieces[2])
{
	uint32_t first;
	uint8_t *at = ring_reserve(ring, keep, channel, &first);
	pieces[0] = (struct iovec){ .iov_base = at, .iov_len = first };
	pieces[1] = (struct iovec){ .iov_base = ring->data, .iov_len = 0 };
	if (!at || !first)
		return 0;
	/* What ring_reserve() keeps, between the bounds it keeps it in. */
	uint64_t from = keep > ring->head ? ring->head : keep < ring->tail ? ring->tail : keep;
	uint32_t room = ring->size - (uint32_t)(ring->head - from);
	pieces[1].iov_len = room - first;
	return room;
}

void ring_commit(struct ring *ring, uint32_t length, uint8_t channel)
{
	if (!length)
		return;
	ring->head += length;
	if (ring->head > ring->size)
		drop_before(ring, ring->head - ring->size);
	if (ring->run_count && run_at(ring, ring->run_count - 1)->channel == channel) {
		run_at(ring, ring->run_count - 1)->end = ring->head;
		return;
	}
	ring->run_count++;
	*run_at(ring, ring->run_count - 1) = (struct ring_run){ .end = ring->head, .channel = channel };
}

const uint8_t *ring_peek(const struct ring *ring, uint64_t position, uint32_t *length, uint8_t *channel)
{
	*length = 0;
	if (position < ring->tail || position >= ring->head)
		return NULL;
	uint32_t low = 0;
	uint32_t high = ring->run_count - 1;
	while (low < high) {
		uint32_t middle = (low + high) / 2;
		if (run_at(ring, middle)->end > position)
			high = middle;
		else
			low = middle + 1;
	}
	const struct ring_run *run = run_at(ring, low);
	uint32_t at = (uint32_t)(position % ring->size);
	uint64_t left = run->end - position;
	*length = left > ring->size - at ? ring->size - at : (uint32_t)left;
	*channel = run->channel;
	return ring->data + at;
}
