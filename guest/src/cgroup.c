#include "cgroup.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

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
static uint64_t workload_limit(void)
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

void cgroup_setup(void)
{
	char limit[32];
	if (mount("cgroup2", ROOT, "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		return;
	mkdir(ROOT "/agent", 0755);
	mkdir(ROOT "/workload", 0755);
	/* A group that hands controllers on must hold no processes itself. */
	if (!textfile_set(ROOT "/agent/cgroup.procs", "0"))
		return;
	textfile_set(ROOT "/cgroup.subtree_control", "+cpu +memory");
	textfile_set(ROOT "/agent/cpu.weight", "10000");
	uint64_t bytes = workload_limit();
	if (bytes) {
		snprintf(limit, sizeof limit, "%llu", (unsigned long long)bytes);
		textfile_set(ROOT "/workload/memory.max", limit);
	}
	workload_fd = open(ROOT "/workload", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	procs_fd = open(ROOT "/workload/cgroup.procs", O_WRONLY | O_CLOEXEC);
}
