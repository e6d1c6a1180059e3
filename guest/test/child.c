/*
 * The program that the confined agent starts. Says its name, repeats its input and
 * floods; under other names it writes packets, makes orphans, uses files and so on.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* 300 packets of 1 to 4,096 bytes, each of one letter. */
static int write_packets(void)
{
	char buffer[4096];
	if (fcntl(1, F_SETFL, O_WRONLY | O_DIRECT) < 0)
		return 1;
	for (int i = 0; i < 300; i++) {
		size_t length = (size_t)(i % 3 == 0 ? 1 : i % 3 == 1 ? 1000 : 4096);
		memset(buffer, 'a' + i % 26, length);
		if (write(1, buffer, length) != (ssize_t)length)
			return 2;
	}
	return 6;
}

/* As many orphans as can be had within 5 s, each of which ends at once. */
static int storm(void)
{
	time_t end = time(NULL) + 5;
	while (time(NULL) < end) {
		pid_t pid = fork();
		if (pid == 0) {
			(void)!fork();
			_exit(0);
		}
		if (pid > 0)
			waitpid(pid, NULL, 0);
	}
	return 0;
}

static int say(const char *what)
{
	perror(what);
	return 1;
}

/* Reads a file, writes it when there is TEXT, or makes a directory when there is no such file. */
static int use_file(const char *path, const char *text)
{
	char buffer[4096];
	ssize_t n;
	int fd = open(path, text ? O_WRONLY : O_RDONLY);
	if (fd < 0)
		return !text && mkdir(path, 0755) == 0 ? 0 : say(path);
	if (text)
		return write(fd, text, strlen(text)) < 0 ? say(path) : 0;
	while ((n = read(fd, buffer, sizeof buffer)) > 0)
		(void)!write(1, buffer, (size_t)n);
	return n < 0 ? say(path) : 0;
}

/* Goes to another control group and removes the one it was born in. */
static int leave_group(void)
{
	char line[256], path[320] = "";
	FILE *groups = fopen("/proc/self/cgroup", "r");
	while (groups && fgets(line, sizeof line, groups))
		if (strncmp(line, "0::", 3) == 0)
			snprintf(path, sizeof path, "/sys/fs/cgroup%.*s", (int)strcspn(line + 3, "\n"), line + 3);
	mkdir("/sys/fs/cgroup/left", 0755);
	if (use_file("/sys/fs/cgroup/left/cgroup.procs", "0"))
		return 1;
	return rmdir(path) < 0 ? say(path) : 0;
}

_Noreturn static void tick(void)
{
	for (;;) {
		(void)!write(1, ".", 1);
		usleep(20000);
	}
}

int main(int argc, char **argv)
{
	char buffer[4096];
	ssize_t n;
	const char *name = argc ? argv[0] : "";
	if (strstr(name, "fifo"))
		return mkfifo(getenv("FILE"), 0644) < 0 ? say("mkfifo") : 0;
	if (strstr(name, "group"))
		return use_file(getenv("FILE"), getenv("TEXT"));
	if (strstr(name, "leave"))
		return leave_group();
	if (strstr(name, "tick"))
		tick();
	if (strstr(name, "storm"))
		return storm();
	if (strstr(name, "packets"))
		return write_packets();
	(void)!write(1, name, strlen(name));
	(void)!write(2, "error", 5);
	if (strstr(name, "flood"))
		for (int i = 0; i < 4096; i++)
			(void)!write(i % 7 ? 1 : 2, buffer, sizeof buffer);
	if (strstr(name, "sleep"))
		sleep(1);
	while ((n = read(0, buffer, sizeof buffer)) > 0)
		(void)!write(1, buffer, (size_t)n);
	return 3;
}
