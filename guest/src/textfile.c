#include "textfile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

bool textfile_read(const char *path, char *out, size_t size)
{
	size_t length = 0;
	bool failed = false;
	out[0] = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	while (length < size - 1) {
		ssize_t n = read(fd, out + length, size - 1 - length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			failed = n < 0;
			break;
		}
		length += (size_t)n;
	}
	out[failed ? 0 : length] = 0;
	close(fd);
	return !failed;
}

bool textfile_read_line(const char *path, char *out, size_t size)
{
	if (!textfile_read(path, out, size))
		return false;
	out[strcspn(out, "\n")] = 0;
	return true;
}

bool textfile_set(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	size_t length = strlen(text);
	bool written = write(fd, text, length) == (ssize_t)length;
	close(fd);
	return written;
}
