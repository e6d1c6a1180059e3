/* The files in /etc that name the machine and its name server. Worker threads; they write to the disk. */
#ifndef DORMOUSE_HOSTS_H
#define DORMOUSE_HOSTS_H

/* /etc/hostname, and /etc/hosts with localhost and the name; 0 or an errno. */
int hosts_set_name(const char *name);
/* /etc/resolv.conf with one name server; 0 or an errno. */
int hosts_set_name_server(const char *address);

#endif
