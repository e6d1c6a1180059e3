/* The one event loop: epoll, timers and work put off to the next turn. Main thread only. */
#ifndef DORMOUSE_LOOP_H
#define DORMOUSE_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define container_of(pointer, type, member) ((type *)(void *)((char *)(pointer) - offsetof(type, member)))

/* A descriptor that is watched. Its owner embeds it and closes the descriptor. */
struct source {
	int fd;
	void (*ready)(struct source *source, uint32_t events);
};

struct timer {
	uint64_t due_ms;
	void (*fire)(struct timer *timer);
	struct timer *next;
	bool armed;
};

/* Work that goes on in the next turn, after descriptors have been looked at. */
struct task {
	void (*run)(struct task *task);
	struct task *next;
	bool queued;
};

bool loop_init(void);
bool loop_add(struct source *source, uint32_t events);
/* Changes what is watched for; 0 keeps the descriptor from waking anybody. What is ready already is an event again. */
void loop_watch(struct source *source, uint32_t events);
/* Stops watching and closes the descriptor; pending events of it are dropped. */
void loop_close(struct source *source);
void loop_timer(struct timer *timer, uint64_t after_ms);
void loop_timer_cancel(struct timer *timer);
void loop_task(struct task *task);
void loop_task_cancel(struct task *task);
/* One turn; waits for at most `max_wait_ms` (-1: for ever). */
void loop_turn(int max_wait_ms);
/* Milliseconds of the monotonic clock, which no clock setting moves. */
uint64_t now_ms(void);

#endif
