#include "packet.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Fresh pages cost a fault each, which emulation makes dear: keep a few chunks. */
#define RESERVE_CHUNKS 16

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct packet *reserve;
static int reserve_count;

struct packet *packet_new(enum frame_type type, uint32_t capacity)
{
	struct packet *packet = NULL;
	if (capacity > MAX_PAYLOAD)
		return NULL;
	if (capacity == PACKET_CHUNK) {
		pthread_mutex_lock(&lock);
		packet = reserve;
		if (packet) {
			reserve = packet->next;
			reserve_count--;
		}
		pthread_mutex_unlock(&lock);
	}
	if (!packet)
		packet = malloc(sizeof *packet + capacity);
	if (!packet)
		return NULL;
	packet->next = NULL;
	packet->capacity = capacity;
	packet->length = 0;
	packet->offset = 0;
	packet->type = (uint8_t)type;
	packet->channel = CHANNEL_PLAIN;
	return packet;
}

struct packet *packet_copy(enum frame_type type, const void *data, uint32_t length)
{
	struct packet *packet = packet_new(type, length);
	if (packet && length) {
		memcpy(packet->data, data, length);
		packet->length = length;
	}
	return packet;
}

struct packet *packet_close(const struct result *result)
{
	uint32_t length = (uint32_t)strlen(result->message);
	struct packet *packet = packet_new(FRAME_CLOSE, 12 + length);
	if (!packet)
		return NULL;
	struct writer w = { .data = packet->data, .capacity = packet->capacity };
	write_u16(&w, result->code);
	write_u16(&w, 0);
	write_u32(&w, (uint32_t)result->error);
	write_bytes(&w, result->message, length);
	packet->length = w.length;
	return packet;
}

void packet_free(struct packet *packet)
{
	if (!packet)
		return;
	if (packet->capacity == PACKET_CHUNK) {
		pthread_mutex_lock(&lock);
		if (reserve_count < RESERVE_CHUNKS) {
			packet->next = reserve;
			reserve = packet;
			reserve_count++;
			packet = NULL;
		}
		pthread_mutex_unlock(&lock);
	}
	free(packet);
}

void packet_append(struct packet_list *list, struct packet *packet)
{
	packet->next = NULL;
	if (list->last)
		list->last->next = packet;
	else
		list->first = packet;
	list->last = packet;
	list->bytes += packet->length;
}

struct packet *packet_take(struct packet_list *list)
{
	struct packet *packet = list->first;
	if (!packet)
		return NULL;
	list->first = packet->next;
	if (!list->first)
		list->last = NULL;
	list->bytes -= packet->length;
	packet->next = NULL;
	return packet;
}

void packet_drop_all(struct packet_list *list)
{
	struct packet *packet;
	while ((packet = packet_take(list)))
		packet_free(packet);
}

struct message message_begin(enum message_kind kind, uint32_t body_capacity)
{
	struct message message = { .packet = packet_new(FRAME_MESSAGE, MESSAGE_HEADER_BYTES + body_capacity) };
	if (message.packet) {
		message.body = (struct writer){ .data = message.packet->data, .capacity = message.packet->capacity };
		write_u16(&message.body, (uint16_t)kind);
		write_u16(&message.body, 0);
	} else {
		message.body.full = true;
	}
	return message;
}

struct packet *message_finish(struct message *message)
{
	struct packet *packet = message->packet;
	message->packet = NULL;
	if (!packet)
		return NULL;
	if (message->body.full) {
		packet_free(packet);
		return NULL;
	}
	packet->length = message->body.length;
	return packet;
}
