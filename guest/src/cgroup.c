#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loop.h"
#include "textfile.h"

#define ROOT "/sys/fs/cgroup"
#define MIB (1024ull * 1024)

static int workload_fd = -1;
static int procs_fd = -1;

int cgroup_workload_fd(void) { return workload_fd; }
int cgroup_workload_procs_fd(void) { return procs_fd; }

/*
 * What the workload may take: all that is free now, at the start, but a reserve
 * for what the kernel and the agent come to need. Running into this limit ends
 * one program at once; running the machine out of memory takes long and may hit
 * anything.
 */
static uint64_t memory_limit(void)
{
	char text[512];
	const char *name = "MemAvailable:";
	textfile_read("/proc/meminfo", text, sizeof text);
	const char *at = strstr(text, name);
	uint64_t available = at ? strtoull(at + strlen(name), NULL, 10) * 1024 : 0;
	uint64_t reserve = available / 32;
	reserve = reserve < 8 * MIB ? 8 * MIB : reserve > 64 * MIB ? 64 * MIB : reserve;
	return available > 4 * reserve ? available - reserve : 0;
}

static uint64_t kernel_number(const char *path)
{
	char text[32];
	return textfile_read_line(path, text, sizeof text) ? strtoull(text, NULL, 10) : 0;
}

/* How many processes and threads the workload may have: an eighth of the machine's are for others. */
static uint64_t process_limit(void)
{
	uint64_t threads = kernel_number("/proc/sys/kernel/threads-max");
	uint64_t pids = kernel_number("/proc/sys/kernel/pid_max");
	uint64_t all = threads < pids ? threads : pids;
	return all - all / 8;
}

static void limit_workload(const char *path, uint64_t limit)
{
	char text[32];
	if (!limit)
		return;
	snprintf(text, sizeof text, "%llu", (unsigned long long)limit);
	textfile_set(path, text);
}

void cgroup_setup(void)
{
	if (mount("cgroup2", ROOT, "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		return;
	mkdir(ROOT "/agent", 0755);
	mkdir(ROOT "/workload", 0755);
	/* A group that hands controllers on must hold no processes itself. */
	if (!textfile_set(ROOT "/agent/cgroup.procs", "0"))
		return;
	/* One by one: a controller that the kernel lacks takes no other along. */
	textfile_set(ROOT "/cgroup.subtree_control", "+cpu");
	textfile_set(ROOT "/cgroup.subtree_control", "+memory");
	textfile_set(ROOT "/cgroup.subtree_control", "+pids");
	textfile_set(ROOT "/agent/cpu.weight", "10000");
	limit_workload(ROOT "/workload/memory.max", memory_limit());
	limit_workload(ROOT "/workload/pids.max", process_limit());
	workload_fd = open(ROOT "/workload", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	procs_fd = open(ROOT "/workload/cgroup.procs", O_WRONLY | O_CLOEXEC);
}

int cgroup_hold(bool hold)
{
	if (workload_fd < 0)
		return ENOTSUP;
	return textfile_set(ROOT "/workload/cgroup.freeze", hold ? "1" : "0") ? 0 : errno ? errno : EIO;
}

/* The kernel marks the file as changed (POLLPRI) whenever the answer changes. */
bool cgroup_await_held(unsigned timeout_ms)
{
	uint64_t end = now_ms() + timeout_ms;
	int fd = open(ROOT "/workload/cgroup.events", O_RDONLY | O_CLOEXEC);
	bool held = false;
	while (fd >= 0) {
		char text[256];
		ssize_t length = pread(fd, text, sizeof text - 1, 0);
		if (length < 0)
			break;
		text[length] = 0;
		held = strstr(text, "frozen 1") != NULL;
		uint64_t now = now_ms();
		if (held || now >= end)
			break;
		struct pollfd changed = { .fd = fd, .events = POLLPRI };
		if (poll(&changed, 1, (int)(end - now)) < 0)
			break;
	}
	if (fd >= 0)
		close(fd);
	return held;
}
