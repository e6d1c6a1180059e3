/* The end of input to a terminal that has no room for it. Prints TAP. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "../src/loop.h"
#include "../src/process.h"
#include "tap.h"

#define TERMINAL 1000

static char written[64];
static size_t written_bytes;
static size_t room;

ssize_t __real_write(int fd, const void *bytes, size_t length);
ssize_t __wrap_write(int fd, const void *bytes, size_t length);
ssize_t __wrap_write(int fd, const void *bytes, size_t length)
{
	if (fd != TERMINAL)
		return __real_write(fd, bytes, length);
	if (!room) {
		errno = EAGAIN;
		return -1;
	}
	size_t taken = length < room ? length : room;
	memcpy(written + written_bytes, bytes, taken);
	written_bytes += taken;
	room -= taken;
	return (ssize_t)taken;
}

int main(void)
{
	struct process process = { .pty = true, .outputs = { { .source = { .fd = TERMINAL } } } };
	struct stream *stream = stream_new(1, 1000);
	if (!loop_init() || !stream)
		return 1;
	process_input_open(&process, -1);
	room = 3;
	process_input_write(&process, stream, (const uint8_t *)"abc", 3);
	process_input_finish(&process, stream, true, false);
	check(written_bytes == 3 && process.input.blocked, "input: the end waits while the terminal has no room");
	process_input_ready(&process);
	check(written_bytes == 3 && process.input.blocked, "input: for as long as it takes");
	room = 10;
	process_input_ready(&process);
	check(written_bytes == 4 && memcmp(written, "abc\4", 4) == 0 && !process.input.first, "input: and comes when there is room");
	process_input_shut(&process);
	stream_drop_all();
	return tap_end();
}
