/* Fathom's own first process: runs the program as its child, forwards signals to it, reaps, and ends with its status. */
#pragma once

#include "child.h"

/* Comes back in the program's process only. Pid 1 stays inside and ends with the program's code, 128+n for signal n. */
int become_init(struct child *child, char **arguments);
/* Default dispositions and an empty mask, undoing what the supervisor ignores. */
void reset_signals(void);
void ignore_signals(void);
/* Writes over argv, so that ps shows what this process is for. */
void keep_title(char **argv);
void set_title(const char *first, char **rest);
