/* Letters and messages with descriptors, over unix sockets. */
#pragma once

#include "base.h"

#define LETTER_FDS 65 /* of one letter */

ssize_t send_with_fds(int socket, const void *data, size_t size, const int *fds, unsigned count, int flags);
int send_letter(int socket, char letter, const int *fds, unsigned count);
/* Blocks, unless the socket does not block. Returns the letter, 0 at the end, or -1 with errno. `*count`: before the call the room, after it
 * the number of descriptors. */
int receive_letter(int socket, int *fds, unsigned *count);
ssize_t receive_with_fds(int socket, void *data, size_t size, int *fds, unsigned *count);
