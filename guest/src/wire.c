#include "wire.h"

static uint8_t *take(struct reader *r, size_t n)
{
	if (r->bad || (size_t)(r->end - r->at) < n) {
		r->bad = true;
		return NULL;
	}
	uint8_t *p = r->at;
	r->at += n;
	return p;
}

uint8_t read_u8(struct reader *r)
{
	const uint8_t *p = take(r, 1);
	return p ? *p : 0;
}

uint16_t read_u16(struct reader *r)
{
	const uint8_t *p = take(r, 2);
	return p ? load16(p) : 0;
}

uint32_t read_u32(struct reader *r)
{
	const uint8_t *p = take(r, 4);
	return p ? load32(p) : 0;
}

uint64_t read_u64(struct reader *r)
{
	const uint8_t *p = take(r, 8);
	return p ? load64(p) : 0;
}

struct bytes read_bytes(struct reader *r, uint32_t max)
{
	uint32_t length = read_u32(r);
	if (length > max)
		r->bad = true;
	const uint8_t *p = take(r, length);
	return p ? (struct bytes){ p, length } : (struct bytes){ (const uint8_t *)"", 0 };
}

char *read_string(struct reader *r, uint32_t max)
{
	static char empty[1];
	uint32_t length = read_u32(r);
	if (length > max)
		r->bad = true;
	uint8_t *p = take(r, length);
	if (!p)
		return empty;
	if (memchr(p, 0, length)) {
		r->bad = true;
		return empty;
	}
	/* The length has been read, so its last byte makes room for the terminator. */
	memmove(p - 1, p, length);
	p[(ptrdiff_t)length - 1] = 0;
	return (char *)p - 1;
}

bool reader_done(const struct reader *r)
{
	return !r->bad && r->at == r->end;
}

static uint8_t *room(struct writer *w, size_t n)
{
	if (w->full || w->capacity - w->length < n) {
		w->full = true;
		return NULL;
	}
	uint8_t *p = w->data + w->length;
	w->length += (uint32_t)n;
	return p;
}

void write_u8(struct writer *w, uint8_t v)
{
	uint8_t *p = room(w, 1);
	if (p)
		*p = v;
}

void write_u16(struct writer *w, uint16_t v)
{
	uint8_t *p = room(w, 2);
	if (p)
		store16(p, v);
}

void write_u32(struct writer *w, uint32_t v)
{
	uint8_t *p = room(w, 4);
	if (p)
		store32(p, v);
}

void write_u64(struct writer *w, uint64_t v)
{
	uint8_t *p = room(w, 8);
	if (p)
		store64(p, v);
}

void write_bytes(struct writer *w, const void *data, size_t length)
{
	if (length > UINT32_MAX || w->capacity - w->length < 4 + length) {
		w->full = true;
		return;
	}
	write_u32(w, (uint32_t)length);
	uint8_t *p = room(w, length);
	if (p && length)
		memcpy(p, data, length);
}

void write_string(struct writer *w, const char *s)
{
	write_bytes(w, s, strlen(s));
}

bool copy_string(char *to, size_t size, const char *from)
{
	size_t length = strlen(from);
	bool fits = length < size;
	if (!fits)
		length = size - 1;
	memcpy(to, from, length);
	to[length] = 0;
	return fits;
}
