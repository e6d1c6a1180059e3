/*
 * PID 1 of the test guest: loads the modules of the initramfs, mounts the image read-only and gives a shell to the
 * virtio-serial port. A test writes lines of shell script and reads what they print.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* virtio-mmio probes its devices asynchronously. */
#define WAIT_STEPS 10000
#define STEP_MICROSECONDS 1000

static int wait_open(const char *path, int flags)
{
	for (int step = 0; step < WAIT_STEPS; step++) {
		int fd = open(path, flags);
		if (fd >= 0)
			return fd;
		usleep(STEP_MICROSECONDS);
	}
	return -1;
}

static void load_modules(void)
{
	char line[256], path[320];
	FILE *list = fopen("/modules/load.order", "r");
	while (list && fgets(line, sizeof line, list)) {
		line[strcspn(line, "\n")] = 0;
		snprintf(path, sizeof path, "/modules/%s", line);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || syscall(SYS_finit_module, fd, "", 0) < 0)
			fprintf(stderr, "no module %s\n", line);
		if (fd >= 0)
			close(fd);
	}
	if (list)
		fclose(list);
}

int main(void)
{
	mount("dev", "/dev", "devtmpfs", 0, 0);
	load_modules();
	mkdir("/root", 0755);
	int disk = wait_open("/dev/vda", O_RDONLY);
	if (disk < 0 || mount("/dev/vda", "/root", "ext4", MS_RDONLY, "noload") < 0)
		perror("no root");
	close(disk);
	mount("proc", "/root/proc", "proc", 0, 0);
	mount("dev", "/root/dev", "devtmpfs", 0, 0);
	mount("tmpfs", "/root/mnt", "tmpfs", 0, "size=90%");
	if (chroot("/root") < 0 || chdir("/mnt") < 0)
		perror("no root");
	pid_t shell = fork();
	if (shell == 0) {
		int port = wait_open("/dev/vport0p1", O_RDWR);
		for (int fd = 0; fd < 3; fd++)
			dup2(port, fd);
		char *environment[] = {"PATH=/usr/bin:/usr/sbin", 0};
		char *arguments[] = {"sh", "-c", "echo ready; exec sh", 0};
		syscall(SYS_execve, "/bin/sh", arguments, environment);
		_exit(1);
	}
	for (;;)
		if (wait(0) < 0)
			pause();
}
