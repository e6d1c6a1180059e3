#include "cgroup.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>

#include "textfile.h"

#define ROOT "/sys/fs/cgroup"
#define MIB (1024ull * 1024)

static int workload_fd = -1;
static int procs_fd = -1;

int cgroup_workload_fd(void) { return workload_fd; }
int cgroup_workload_procs_fd(void) { return procs_fd; }

/* What stays for the kernel and the agent when the workload takes all it may. */
static uint64_t reserve_of(uint64_t total)
{
	uint64_t reserve = total / 32;
	return reserve < 8 * MIB ? 8 * MIB : reserve > 64 * MIB ? 64 * MIB : reserve;
}

void cgroup_setup(void)
{
	struct sysinfo info;
	char limit[32];
	if (mount("cgroup2", ROOT, "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		return;
	mkdir(ROOT "/agent", 0755);
	mkdir(ROOT "/workload", 0755);
	/* A group that hands controllers on must hold no processes itself. */
	if (!textfile_set(ROOT "/agent/cgroup.procs", "0"))
		return;
	textfile_set(ROOT "/cgroup.subtree_control", "+cpu");
	textfile_set(ROOT "/cgroup.subtree_control", "+memory");
	textfile_set(ROOT "/cgroup.subtree_control", "+pids");
	textfile_set(ROOT "/agent/cpu.weight", "10000");
	if (sysinfo(&info) == 0) {
		uint64_t total = (uint64_t)info.totalram * info.mem_unit;
		snprintf(limit, sizeof limit, "%llu", (unsigned long long)(total - reserve_of(total)));
		textfile_set(ROOT "/workload/memory.max", limit);
	}
	workload_fd = open(ROOT "/workload", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	procs_fd = open(ROOT "/workload/cgroup.procs", O_WRONLY | O_CLOEXEC);
}
