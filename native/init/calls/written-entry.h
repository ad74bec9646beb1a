/* The entries that write-tree writes, one at a time: written-entry.c. */
#pragma once

#include "../base/base.h"

/* Flags of the request: an existing directory stays a directory, and everything else stays no directory. */
#define KEEP_KINDS 1u
/* Flag of an entry. */
#define HARD_LINK 1u

enum refusal { NO_OVERWRITE_DIRECTORY = 1, NO_OVERWRITE_OTHER, LEAVES_DESTINATION, CHANGED_MEANWHILE };

/* Precedes the path and the link of an entry. */
struct in_entry {
  uint32_t mode, uid, gid, rdev_major, rdev_minor, flags, modified_ns, path_length;
  int64_t modified;
  uint64_t size;
};

/* The directory into which everything is written, the flags of the request, and the present entry with its paths. */
extern int destination;
extern uint32_t write_options;
extern struct in_entry entry;
extern char entry_name[], link_target[];

int open_resolved(int at, const char *name, uint64_t flags, uint64_t mode, uint64_t resolve);
void begin_entry(void);
/* A part of a regular file, at its place in it. */
void write_data(uint64_t offset, const uint8_t *bytes, size_t length);
/* Also sets owner and mode. */
void set_xattr(const char *name, const char *value, size_t length);
void end_entry(void);
/* A directory's time, when nothing is written into it any more. */
void set_directory_times(void);

/* Of write-tree.c: they report to the daemon and end the process. */
_Noreturn void stop_writing(const char *call);
_Noreturn void refuse_entry(enum refusal reason);
