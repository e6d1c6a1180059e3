#include "kernel-files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "settings.h"

static int fds[KERNEL_FILE_COUNT] = { -1, -1, -1, -1, -1, -1, -1, -1 };
static bool opened;

void kernel_files_open(void)
{
	static const struct {
		const char *path;
		int flags;
	} files[KERNEL_FILE_COUNT] = {
		[KERNEL_PROC] = { "/proc", O_PATH | O_DIRECTORY },
		[KERNEL_MEMINFO] = { "/proc/meminfo", O_RDONLY },
		[KERNEL_STAT] = { "/proc/stat", O_RDONLY },
		[KERNEL_BOOT_ID] = { "/proc/sys/kernel/random/boot_id", O_RDONLY },
		[KERNEL_RANDOM] = { "/dev/urandom", O_WRONLY },
		[KERNEL_LOG] = { "/dev/kmsg", O_WRONLY },
		[KERNEL_NULL] = { "/dev/null", O_RDWR },
		[KERNEL_TERMINALS] = { "/dev/ptmx", O_PATH },
	};
	for (int i = 0; i < KERNEL_FILE_COUNT; i++)
		fds[i] = open(files[i].path, files[i].flags | O_CLOEXEC);
	if (settings_own_machine) {
		/* The one of the file system itself does not look for it by path. */
		int own = open("/dev/pts/ptmx", O_PATH | O_CLOEXEC);
		if (own >= 0) {
			close(fds[KERNEL_TERMINALS]);
			fds[KERNEL_TERMINALS] = own;
		}
	}
	opened = true;
}

bool kernel_files_opened(void) { return opened; }
int kernel_file(enum kernel_file file) { return fds[file]; }

bool kernel_file_read(enum kernel_file file, char *out, size_t size)
{
	size_t length = 0;
	ssize_t n = -1;
	while (length < size - 1) {
		n = pread(fds[file], out + length, size - 1 - length, (off_t)length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		length += (size_t)n;
	}
	out[length] = 0;
	return n >= 0;
}

int kernel_terminal_open(void)
{
	char path[32];
	snprintf(path, sizeof path, "self/fd/%d", fds[KERNEL_TERMINALS]);
	return openat(fds[KERNEL_PROC], path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
}
