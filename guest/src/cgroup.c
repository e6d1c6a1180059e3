#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "loop.h"
#include "textfile.h"

#define MOUNT_POINT "/sys/fs/cgroup"
#define MOUNT_FLAGS (MS_NOSUID | MS_NODEV | MS_NOEXEC)
#define MIB (1024ull * 1024)
#define TEXT_BYTES 512
/* Groups for programs that may be made in place of one that cannot be used. */
#define MAX_RENEWALS 1000000u

/* Opened before the workload runs, because the workload may cover every path. */
static int workload_fd = -1;
static int freeze_fd = -1;
static int events_fd = -1;
/* The same numbers all the time: another group takes over the descriptors. */
static int programs_fd = -1;
static int programs_procs_fd = -1;

int cgroup_programs_fd(void) { return programs_fd; }
int cgroup_programs_procs_fd(void) { return programs_procs_fd; }

/*
 * What the workload may take: all that is free now, at the start, but a reserve
 * for what the kernel and the agent come to need. Running into this limit ends
 * one program at once; running the machine out of memory takes long and may hit
 * anything.
 */
static uint64_t memory_limit(void)
{
	char text[TEXT_BYTES];
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

/* Writes a file of a group with one call. */
static bool set(int group, const char *file, const char *text)
{
	int fd = openat(group, file, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	bool written = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	int error = errno;
	close(fd);
	errno = error;
	return written;
}

static void limit(int group, const char *file, uint64_t value)
{
	char text[32];
	if (!value)
		return;
	snprintf(text, sizeof text, "%llu", (unsigned long long)value);
	set(group, file, text);
}

static int open_group(int parent, const char *name)
{
	if (mkdirat(parent, name, 0755) < 0 && errno != EEXIST)
		return -1;
	return openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Enables every controller of the kernel: a container manager may divide any of them further. */
static void enable_controllers(int group)
{
	char text[TEXT_BYTES];
	int fd = openat(group, "cgroup.controllers", O_RDONLY | O_CLOEXEC);
	ssize_t length = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
	if (fd >= 0)
		close(fd);
	text[length > 0 ? length : 0] = 0;
	/* One by one: a controller that refuses takes no other along. */
	for (char *name = strtok(text, " \n"); name; name = strtok(NULL, " \n")) {
		char enable[64];
		snprintf(enable, sizeof enable, "+%.60s", name);
		set(group, "cgroup.subtree_control", enable);
	}
}

/*
 * Programs live in a group below the workload's, because a group that hands
 * controllers on must hold no processes itself; `name` is new or empty.
 */
static bool use_group(const char *name)
{
	int group = open_group(workload_fd, name);
	if (group < 0)
		return false;
	int procs = openat(group, "cgroup.procs", O_WRONLY | O_CLOEXEC);
	if (programs_fd < 0) {
		programs_fd = group;
		programs_procs_fd = procs;
		return true;
	}
	bool took = dup3(group, programs_fd, O_CLOEXEC) >= 0 &&
		    (procs < 0 || programs_procs_fd < 0 || dup3(procs, programs_procs_fd, O_CLOEXEC) >= 0);
	close(group);
	if (procs >= 0)
		close(procs);
	return took;
}

bool cgroup_renew_programs(int error)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static unsigned renewals;
	/* How the kernel refuses a group that hands controllers on, was removed, or holds threads. */
	if (workload_fd < 0 || (error != EBUSY && error != ENODEV && error != ENOENT && error != EOPNOTSUPP))
		return false;
	pthread_mutex_lock(&lock);
	bool renewed = false;
	for (int attempt = 0; attempt < 8 && !renewed && renewals < MAX_RENEWALS; attempt++) {
		char name[32];
		snprintf(name, sizeof name, "programs-%u", ++renewals);
		renewed = mkdirat(workload_fd, name, 0755) == 0 && use_group(name);
	}
	pthread_mutex_unlock(&lock);
	return renewed;
}

/*
 * Makes /sys/fs/cgroup the workload's group, by a name space whose root it is:
 * programs cannot leave it, and container managers divide it as if it were the
 * machine's. The agent itself goes back to its own group.
 */
static bool root_at_workload(int agent)
{
	if (!set(workload_fd, "cgroup.procs", "0"))
		return false;
	bool rooted = unshare(CLONE_NEWCGROUP) == 0;
	return set(agent, "cgroup.procs", "0") && rooted;
}

void cgroup_setup(void)
{
	if (mount("cgroup2", MOUNT_POINT, "cgroup2", MOUNT_FLAGS, NULL) < 0)
		return;
	int root = open(MOUNT_POINT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int agent = open_group(root, "agent");
	int workload = open_group(root, "workload");
	/* A group that hands controllers on must hold no processes itself. */
	if (agent >= 0 && workload >= 0 && set(agent, "cgroup.procs", "0")) {
		enable_controllers(root);
		set(agent, "cpu.weight", "10000");
		limit(workload, "memory.max", memory_limit());
		limit(workload, "pids.max", process_limit());
		workload_fd = workload;
		freeze_fd = openat(workload, "cgroup.freeze", O_WRONLY | O_CLOEXEC);
		events_fd = openat(workload, "cgroup.events", O_RDONLY | O_CLOEXEC);
		if (!root_at_workload(agent))
			log_line("the workload sees all groups: %s", strerror(errno));
		else if (umount2(MOUNT_POINT, MNT_DETACH) < 0 || mount("cgroup2", MOUNT_POINT, "cgroup2", MOUNT_FLAGS, NULL) < 0)
			log_line("mount %s: %s", MOUNT_POINT, strerror(errno));
		if (!use_group("programs"))
			programs_fd = fcntl(workload, F_DUPFD_CLOEXEC, 3);
	} else if (workload >= 0) {
		close(workload);
	}
	if (agent >= 0)
		close(agent);
	if (root >= 0)
		close(root);
}

int cgroup_hold(bool hold)
{
	if (freeze_fd < 0)
		return ENOTSUP;
	return pwrite(freeze_fd, hold ? "1" : "0", 1, 0) == 1 ? 0 : errno ? errno : EIO;
}

/* The kernel marks the file as changed (POLLPRI) whenever the answer changes. */
bool cgroup_await_held(unsigned timeout_ms)
{
	uint64_t end = now_ms() + timeout_ms;
	for (;;) {
		char text[256];
		ssize_t length = pread(events_fd, text, sizeof text - 1, 0);
		if (length < 0)
			return false;
		text[length] = 0;
		if (strstr(text, "frozen 1"))
			return true;
		uint64_t now = now_ms();
		struct pollfd changed = { .fd = events_fd, .events = POLLPRI };
		if (now >= end || (poll(&changed, 1, (int)(end - now)) < 0 && errno != EINTR))
			return false;
	}
}
