/* How an operation ended: what its CLOSE frame says. */
#ifndef DORMOUSE_RESULT_H
#define DORMOUSE_RESULT_H

#include <stdint.h>

#include "protocol.h"

#define RESULT_MESSAGE_BYTES (MAX_PATH_BYTES + 256u)

struct result {
	uint16_t code;
	int32_t error;   /* the kernel's errno, 0 when none caused the failure */
	char message[RESULT_MESSAGE_BYTES];
};

void result_ok(struct result *result);
void result_fail(struct result *result, enum result_code code, int error, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* The code that stands for `error`; the message is "<subject>: <kernel's text>". */
void result_errno(struct result *result, int error, const char *subject);
enum result_code result_code_of(int error);

#endif
