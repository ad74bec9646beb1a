/* Fathom's own first process: it runs the program as its child, forwards signals to it, reaps processes, and ends with the program's status. */
#pragma once

#include "child.h"

/* Returns only in the program's process. Pid 1 stays in this function and ends with the program's code, or with 128+n for signal n. */
int become_init(struct child *child, char **arguments);
/* Sets default dispositions and an empty mask: undoes what the supervisor ignores. */
void reset_signals(void);
void ignore_signals(void);
/* Overwrites argv, so that ps shows the purpose of this process. */
void keep_title(char **argv);
void set_title(const char *first, char **rest);
