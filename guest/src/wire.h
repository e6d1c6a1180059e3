/* Bounds-checked reading and writing of the little-endian wire format. */
#ifndef DORMOUSE_WIRE_H
#define DORMOUSE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t load16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
static inline uint32_t load32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline uint64_t load64(const uint8_t *p) { return load32(p) | (uint64_t)load32(p + 4) << 32; }
static inline void store16(uint8_t *p, uint16_t v) { p[0] = (uint8_t)v; p[1] = (uint8_t)(v >> 8); }
static inline void store32(uint8_t *p, uint32_t v) { store16(p, (uint16_t)v); store16(p + 2, (uint16_t)(v >> 16)); }
static inline void store64(uint8_t *p, uint64_t v) { store32(p, (uint32_t)v); store32(p + 4, (uint32_t)(v >> 32)); }

/*
 * Reads a payload. A read beyond the end yields zeros and sets `bad`, so that
 * arguments can be taken in a row and checked once, with reader_done().
 * The payload belongs to the caller and is written to: strings are
 * terminated in place, over the last byte of their own length.
 */
struct reader {
	uint8_t *at;
	uint8_t *end;
	bool bad;
};

struct bytes {
	const uint8_t *data;
	uint32_t length;
};

static inline struct reader reader_over(uint8_t *data, size_t length)
{
	return (struct reader){ .at = data, .end = data + length, .bad = false };
}
uint8_t read_u8(struct reader *r);
uint16_t read_u16(struct reader *r);
uint32_t read_u32(struct reader *r);
uint64_t read_u64(struct reader *r);
struct bytes read_bytes(struct reader *r, uint32_t max);
/* A terminated string without NUL inside, at most `max` bytes; never NULL ("" when bad). */
char *read_string(struct reader *r, uint32_t max);
/* True when every read so far fitted and nothing is left over. */
bool reader_done(const struct reader *r);

/*
 * Writes a message body into a buffer of fixed size. Beyond its end nothing is
 * written and `full` is set.
 */
struct writer {
	uint8_t *data;
	uint32_t length;
	uint32_t capacity;
	bool full;
};

void write_u8(struct writer *w, uint8_t v);
void write_u16(struct writer *w, uint16_t v);
void write_u32(struct writer *w, uint32_t v);
void write_u64(struct writer *w, uint64_t v);
void write_bytes(struct writer *w, const void *data, size_t length);
void write_string(struct writer *w, const char *s);

/* Copies what fits and always terminates; returns false when it did not fit. */
bool copy_string(char *to, size_t size, const char *from);

#endif
