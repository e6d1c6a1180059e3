/* Lines for the console. The guest's console is slow: only what is worth reading after a failure. */
#ifndef DORMOUSE_LOG_H
#define DORMOUSE_LOG_H

/* As PID 1 to the kernel's log, else to standard error. */
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
