#include "log.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "kernel-files.h"
#include "settings.h"

void log_line(const char *format, ...)
{
	char line[512];
	va_list arguments;
	/* <3>: an error, which reaches the console even when the kernel is quiet. */
	int prefix = snprintf(line, sizeof line, "%sdormouse: ", settings_own_machine ? "<3>" : "");
	va_start(arguments, format);
	int length = vsnprintf(line + prefix, sizeof line - (size_t)prefix - 1, format, arguments);
	va_end(arguments);
	size_t size = (size_t)prefix + (length > 0 ? (size_t)length : 0);
	if (size > sizeof line - 2)
		size = sizeof line - 2;
	line[size++] = '\n';
	/* By path only until the workload runs. */
	int log = kernel_file(KERNEL_LOG);
	int own = settings_own_machine && !kernel_files_opened() ? open("/dev/kmsg", O_WRONLY | O_CLOEXEC) : -1;
	int fd = !settings_own_machine ? 2 : own >= 0 ? own : log >= 0 ? log : 2;
	(void)!write(fd, line, size);
	if (own >= 0)
		close(own);
}
