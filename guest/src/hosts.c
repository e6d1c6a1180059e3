#include "hosts.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "textfile.h"

/* What this agent adds; the line is replaced when the name changes. */
#define MARK "# dormouse"
#define MAX_HOSTS_BYTES 65536

static bool names_localhost(const char *text)
{
	const char *at = strstr(text, "127.0.0.1");
	return at && (at == text || at[-1] == '\n');
}

static int write_hosts(const char *name)
{
	char *old = malloc(MAX_HOSTS_BYTES);
	char *new = malloc(MAX_HOSTS_BYTES + 512);
	if (!old || !new) {
		free(old);
		free(new);
		return ENOMEM;
	}
	size_t length = 0;
	textfile_read("/etc/hosts", old, MAX_HOSTS_BYTES);
	if (!names_localhost(old))
		length += (size_t)sprintf(new, "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n");
	for (char *line = old; *line;) {
		size_t bytes = strcspn(line, "\n");
		bytes += line[bytes] == '\n';
		char saved = line[bytes];
		line[bytes] = 0;
		if (!strstr(line, MARK)) {
			memcpy(new + length, line, bytes);
			length += bytes;
		}
		line[bytes] = saved;
		line += bytes;
	}
	if (length && new[length - 1] != '\n')
		new[length++] = '\n';
	length += (size_t)snprintf(new + length, 256, "127.0.1.1 %.128s " MARK "\n", name);
	errno = 0;
	int error = textfile_write("/etc/hosts", new, length) ? 0 : errno ? errno : EIO;
	free(old);
	free(new);
	return error;
}

int hosts_set_name(const char *name)
{
	char line[128];
	int length = snprintf(line, sizeof line, "%.100s\n", name);
	mkdir("/etc", 0755);
	if (!textfile_write("/etc/hostname", line, (size_t)length))
		return errno;
	return write_hosts(name);
}

int hosts_set_name_server(const char *address)
{
	char line[128];
	struct stat status;
	int length = snprintf(line, sizeof line, "nameserver %.64s\n", address);
	mkdir("/etc", 0755);
	/* A link into a /run that no longer holds its target (resolvers that do not run here). */
	if (lstat("/etc/resolv.conf", &status) == 0 && S_ISLNK(status.st_mode))
		unlink("/etc/resolv.conf");
	return textfile_write("/etc/resolv.conf", line, (size_t)length) ? 0 : errno;
}
