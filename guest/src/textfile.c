#include "textfile.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

bool textfile_read(const char *path, char *out, size_t size)
{
	size_t length = 0;
	out[0] = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	while (length < size - 1) {
		ssize_t n = read(fd, out + length, size - 1 - length);
		if (n <= 0)
			break;
		length += (size_t)n;
	}
	out[length] = 0;
	close(fd);
	return true;
}

bool textfile_read_line(const char *path, char *out, size_t size)
{
	if (!textfile_read(path, out, size))
		return false;
	out[strcspn(out, "\n")] = 0;
	return true;
}

static bool write_to(int fd, const char *text, size_t length)
{
	if (fd < 0)
		return false;
	bool written = write(fd, text, length) == (ssize_t)length;
	close(fd);
	return written;
}

bool textfile_set(const char *path, const char *text)
{
	return write_to(open(path, O_WRONLY | O_CLOEXEC), text, strlen(text));
}

bool textfile_write(const char *path, const char *text, size_t length)
{
	return write_to(open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644), text, length);
}
