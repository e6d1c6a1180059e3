/* ENTROPY_ADD. */
#include "entropy.h"

#include <errno.h>
#include <linux/random.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "kernel-files.h"
#include "operations.h"
#include "result.h"
#include "settings.h"

int entropy_mix(struct bytes bytes, bool reseed)
{
	int fd = kernel_file(KERNEL_RANDOM);
	if (fd < 0)
		return ENODEV;
	int error = 0;
	if (!settings_own_machine) {
		if (write(fd, bytes.data, bytes.length) < 0)
			error = errno;
	} else {
		struct rand_pool_info *pool = calloc(1, sizeof *pool + MAX_ENTROPY_BYTES);
		if (pool) {
			pool->entropy_count = (int)bytes.length * 8;
			pool->buf_size = (int)bytes.length;
			memcpy(pool->buf, bytes.data, bytes.length);
			if (ioctl(fd, RNDADDENTROPY, pool) < 0 || (reseed && ioctl(fd, RNDRESEEDCRNG) < 0))
				error = errno;
			explicit_bzero(pool->buf, bytes.length);
			free(pool);
		} else {
			error = ENOMEM;
		}
	}
	return error;
}

void entropy_add(struct stream *stream, struct reader *arguments)
{
	struct bytes bytes = read_bytes(arguments, MAX_ENTROPY_BYTES);
	uint8_t reseed = read_u8(arguments);
	if (!reader_done(arguments) || bytes.length < MIN_ENTROPY_BYTES) {
		stream_close_with(stream, RESULT_INVALID_ARGUMENT, 0, "malformed arguments");
		return;
	}
	int error = entropy_mix(bytes, reseed);
	struct result result;
	result_errno(&result, error, "/dev/urandom");
	if (error)
		stream_close(stream, &result);
	else
		stream_close_ok(stream);
}
