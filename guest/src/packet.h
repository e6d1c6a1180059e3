/*
 * A piece of a stream on its way: bytes of DATA, a MESSAGE, END or CLOSE.
 * Whoever holds a packet in a list owns it. Safe to use on every thread.
 */
#ifndef DORMOUSE_PACKET_H
#define DORMOUSE_PACKET_H

#include <stdint.h>

#include "protocol.h"
#include "result.h"
#include "wire.h"

/* Packets of this capacity come from a small reserve instead of the allocator. */
#define PACKET_CHUNK MAX_DATA_TO_HOST

struct packet {
	struct packet *next;
	uint32_t capacity;
	uint32_t length;
	uint32_t offset;   /* bytes already sent or consumed */
	uint8_t type;      /* enum frame_type */
	uint8_t channel;
	uint8_t data[];
};

struct packet_list {
	struct packet *first;
	struct packet *last;
	uint64_t bytes;
};

/* NULL when memory is short. */
struct packet *packet_new(enum frame_type type, uint32_t capacity);
struct packet *packet_copy(enum frame_type type, const void *data, uint32_t length);
struct packet *packet_close(const struct result *result);
void packet_free(struct packet *packet);

void packet_append(struct packet_list *list, struct packet *packet);
struct packet *packet_take(struct packet_list *list);
void packet_drop_all(struct packet_list *list);

/* A MESSAGE under construction; message_finish() yields its packet or NULL. */
struct message {
	struct packet *packet;
	struct writer body;
};

struct message message_begin(enum message_kind kind, uint32_t body_capacity);
struct packet *message_finish(struct message *message);

#endif
