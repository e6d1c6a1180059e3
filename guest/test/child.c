/*
 * What the confined agent has to start: says who it is, repeats its input, floods, writes packets
 * or makes orphans when called so.
 */
#include <fcntl.h>
#include <string.h>
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

int main(int argc, char **argv)
{
	char buffer[4096];
	ssize_t n;
	const char *name = argc ? argv[0] : "";
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
