/*
 * Mounts a file system that answers nothing, as long as its input is open:
 *
 *   dead-mount DIRECTORY            says "ready" when it is mounted
 *   dead-mount DIRECTORY private    another user's: refuses root at once
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char options[128];
	char byte;
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (argc < 2 || fd < 0)
		return 1;
	const char *whose = argc > 2 ? "user_id=1000,group_id=1000" : "user_id=0,group_id=0,allow_other";
	snprintf(options, sizeof options, "fd=%d,rootmode=40755,%s", fd, whose);
	if (mount("dead", argv[1], "fuse.dead", 0, options) < 0)
		return 2;
	(void)!write(1, "ready", 5);
	while (read(0, &byte, 1) > 0)
		;
	umount2(argv[1], MNT_DETACH);
	return 0;
}
