/* Keeping the agent alive and responsive next to a workload that takes all it can. */
#ifndef DORMOUSE_CGROUP_H
#define DORMOUSE_CGROUP_H

#include <stdbool.h>

/* Mounts cgroup2 and sets up a group for the agent and one for the workload. Best effort. */
void cgroup_setup(void);
/* The workload's group: its directory, or its cgroup.procs; -1 when there is none. */
int cgroup_workload_fd(void);
int cgroup_workload_procs_fd(void);
/* Makes the workload stand still, or go on; 0 or an errno. */
int cgroup_hold(bool hold);
/* Waits until every process of a held workload stands still; false when one does not within the time. */
bool cgroup_await_held(unsigned timeout_ms);

#endif
