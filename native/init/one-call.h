/* One call in a process of its own. */
#pragma once

#include <stdbool.h>

bool wants_one_call(int argc, char **argv);
/* Gives the exit status. */
int one_call(char **argv);
