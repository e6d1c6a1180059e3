#include "loop.h"

#include <errno.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_PER_TURN 64

static int epoll_fd = -1;
static struct epoll_event events[EVENTS_PER_TURN];
static int event_count;
static struct timer *timers;
static struct task *tasks;
static struct task **tasks_tail = &tasks;

bool loop_init(void)
{
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	return epoll_fd >= 0;
}

bool loop_add(struct source *source, uint32_t mask)
{
	struct epoll_event event = { .events = mask, .data = { .ptr = source } };
	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, source->fd, &event) == 0;
}

void loop_watch(struct source *source, uint32_t mask)
{
	struct epoll_event event = { .events = mask, .data = { .ptr = source } };
	epoll_ctl(epoll_fd, EPOLL_CTL_MOD, source->fd, &event);
}

void loop_close(struct source *source)
{
	if (source->fd < 0)
		return;
	/* A copy of the descriptor may live on in a child that has not reached
	 * exec yet; only an explicit removal ends its events. */
	epoll_ctl(epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
	close(source->fd);
	source->fd = -1;
	for (int i = 0; i < event_count; i++)
		if (events[i].data.ptr == source)
			events[i].data.ptr = NULL;
}

uint64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void loop_timer_cancel(struct timer *timer)
{
	if (!timer->armed)
		return;
	struct timer **at = &timers;
	while (*at && *at != timer)
		at = &(*at)->next;
	if (*at)
		*at = timer->next;
	timer->armed = false;
}

void loop_timer(struct timer *timer, uint64_t after_ms)
{
	loop_timer_cancel(timer);
	timer->due_ms = now_ms() + after_ms;
	struct timer **at = &timers;
	while (*at && (*at)->due_ms <= timer->due_ms)
		at = &(*at)->next;
	timer->next = *at;
	*at = timer;
	timer->armed = true;
}

void loop_task(struct task *task)
{
	if (task->queued)
		return;
	task->queued = true;
	task->next = NULL;
	*tasks_tail = task;
	tasks_tail = &task->next;
}

void loop_task_cancel(struct task *task)
{
	if (!task->queued)
		return;
	struct task **at = &tasks;
	while (*at && *at != task)
		at = &(*at)->next;
	if (*at)
		*at = task->next;
	if (tasks_tail == &task->next)
		tasks_tail = at;
	task->queued = false;
}

static int wait_time(int max_wait_ms)
{
	if (tasks)
		return 0;
	if (!timers)
		return max_wait_ms;
	uint64_t now = now_ms();
	if (timers->due_ms <= now)
		return 0;
	uint64_t wait = timers->due_ms - now;
	if (max_wait_ms >= 0 && wait > (uint64_t)max_wait_ms)
		return max_wait_ms;
	return wait > 3600000 ? 3600000 : (int)wait;
}

void loop_turn(int max_wait_ms)
{
	int n = epoll_wait(epoll_fd, events, EVENTS_PER_TURN, wait_time(max_wait_ms));
	event_count = n > 0 ? n : 0;
	for (int i = 0; i < event_count; i++) {
		struct source *source = events[i].data.ptr;
		if (source)
			source->ready(source, events[i].events);
	}
	event_count = 0;

	while (timers && timers->due_ms <= now_ms()) {
		struct timer *timer = timers;
		timers = timer->next;
		timer->armed = false;
		timer->fire(timer);
	}

	/* Only what stands in the list now: a task that queues itself again waits
	 * for the descriptors first. */
	struct task *last = NULL;
	for (struct task *t = tasks; t; t = t->next)
		last = t;
	while (tasks && last) {
		struct task *task = tasks;
		tasks = task->next;
		if (!tasks)
			tasks_tail = &tasks;
		task->queued = false;
		bool stop = task == last;
		task->run(task);
		if (stop)
			break;
	}
}
