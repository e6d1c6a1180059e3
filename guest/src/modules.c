#include "modules.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log.h"
#include "textfile.h"

#define DIRECTORY "/modules/"

static void load(const char *name)
{
	char path[320];
	if (strchr(name, '/') || (size_t)snprintf(path, sizeof path, DIRECTORY "%s", name) >= sizeof path) {
		log_line("bad module name in load.order");
		return;
	}
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
		log_line("module %s: %s", name, strerror(errno));
	if (fd >= 0)
		close(fd);
}

void modules_load(void)
{
	char list[8192];
	char *rest = list;
	if (!textfile_read(DIRECTORY "load.order", list, sizeof list))
		return;
	while (*rest) {
		char *line = rest;
		size_t length = strcspn(line, "\n");
		rest += length + (line[length] == '\n');
		line[length] = 0;
		if (line[0] && line[0] != '#')
			load(line);
	}
}
