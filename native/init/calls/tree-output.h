/* What read-tree writes to its caller: frames of u32 length, u32 kind and content. */
#pragma once

#include "../base/base.h"

enum frame { FRAME_XATTR = 1, FRAME_ENTRY, FRAME_DATA, FRAME_CONTENT_END, FRAME_ALIVE, FRAME_END, FRAME_ERROR };

#define FRAME_HEAD (2 * sizeof(uint32_t))
#define PART (64u << 10)

/* The path of the present entry, from the top, with "/" between names. It may be longer than a path that the kernel accepts in one call. */
extern char *entry_path;
extern size_t entry_path_used;

void begin_output(void);
void flush_output(void);
void put_output(const void *bytes, size_t length);
void put_frame(enum frame kind, size_t length);
/* The content of a file, not more than the size that the entry's head announced. */
void put_content(int fd, uint64_t size);
/* The caller ends a process that is silent for long. This message distinguishes a slow server from one that does not answer. */
void say_alive(void);
/* Reports errno, the call and the path, and ends the process. */
_Noreturn void stop_reading(const char *call);
