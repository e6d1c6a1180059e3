/* Keeping the agent alive and responsive next to a workload that takes all it can, and holding that. */
#ifndef DORMOUSE_CGROUP_H
#define DORMOUSE_CGROUP_H

#include <stdbool.h>

/*
 * Mounts cgroup2 and sets up a group for the agent and one for the workload.
 * From then on /sys/fs/cgroup is the workload's group: groups that programs make
 * are below it and held with it. Called before there are threads. Best effort.
 */
void cgroup_setup(void);
/* The group new programs are born into, or its cgroup.procs; -1 when there is none. Any thread. */
int cgroup_programs_fd(void);
int cgroup_programs_procs_fd(void);
/*
 * Makes another group for programs when `error` says that none can be born in
 * this one: the workload has removed it, or made it hand controllers on. False:
 * the error has another reason, or there is no other group. Any thread.
 */
bool cgroup_renew_programs(int error);
/* Makes the workload stand still, or go on; 0 or an errno. */
int cgroup_hold(bool hold);
/* Waits until every process of a held workload stands still; false when one does not within the time. */
bool cgroup_await_held(unsigned timeout_ms);

#endif
