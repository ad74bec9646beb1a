/*
 * The binary form of a launch plan's operations. A header, then the operations in a row:
 *   header     u32 magic "FPLN", u32 version, u32 whole length, u32 operation count, u16 terminal, u16 rows, u16 columns, u16 zero
 *   operation  u32 kind, u32 payload length, payload
 * decode_operation reads the fields of each payload, in the order of the structures below.
 */
#pragma once

#include "../base/wire.h"

#define PLAN_MAGIC 0x4e4c5046u
#define PLAN_VERSION 2
#define PLAN_LIMIT (8u << 20)
#define PLAN_OPERATIONS_LIMIT 16384
#define PLAN_LIST_LIMIT 262144

enum operation_kind {
  OP_JOIN_NAMESPACE = 1,
  OP_ROOT_PROPAGATION,
  OP_ATTACH_ROOT,
  OP_MOUNT,
  OP_BIND,
  OP_MOUNT_ATTRIBUTES,
  OP_MAKE_DIRECTORY,
  OP_MAKE_NODE,
  OP_MAKE_SYMLINK,
  OP_BIND_CONSOLE,
  OP_MASK,
  OP_READONLY_PATH,
  OP_READONLY_ROOT,
  OP_PIVOT_ROOT,
  OP_CHROOT,
  OP_SYSCTL,
  OP_SET_HOSTNAME,
  OP_SET_DOMAINNAME,
  OP_LOOPBACK_UP,
  OP_RLIMIT,
  OP_OOM_SCORE_ADJ,
  OP_UMASK,
  OP_PERSONALITY,
  OP_SESSION_KEYRING,
  OP_NEW_SESSION,
  OP_SET_USER,
  OP_BOUNDING_SET,
  OP_CAPABILITIES,
  OP_NO_NEW_PRIVILEGES,
  OP_SECCOMP,
  OP_WORKING_DIRECTORY,
  OP_WAIT_START,
  OP_EXEC,
  OP_JOIN_PROCESS,
  OP_MEET,
  OP_HOOK,
  OP_FIND_PROGRAM,
  OP_SCHEDULER,
  OP_IO_PRIORITY,
  OP_CPU_AFFINITY,
};

enum create_kind { CREATE_NOTHING, CREATE_DIRECTORY, CREATE_FILE };
#define BIND_SOURCE_IN_ROOT 1
#define BIND_RECURSIVE 2
#define BIND_CREATE 4
#define NO_ID UINT32_MAX

struct attributes {
  uint64_t set, clear;
  uint32_t recursive;
};

/* In the kernel's form; "" for none. */
struct id_map {
  const char *users, *groups;
  uint32_t recursive;
};

struct operation {
  uint32_t kind;
  union {
    struct {
      uint32_t namespace_flag;
      const char *path;
    } join;
    struct {
      uint32_t flags;
      const char *path;
    } propagation;
    struct {
      uint32_t from_descriptor;
      const char *path, *at;
    } root;
    struct {
      const char *type, *source;
      struct list options; /* u32 has value, text key, text value */
      struct attributes attributes;
      const char *target;
      uint32_t create, propagation, copy_up;
      struct id_map ids;
    } mount;
    struct {
      const char *source, *subpath; /* "" for the source itself */
      uint32_t flags;
      struct attributes attributes;
      uint32_t propagation;
      const char *target;
      struct id_map ids;
    } bind;
    struct {
      const char *target;
      struct attributes attributes;
      uint32_t propagation;
    } change;
    struct {
      const char *path;
      uint32_t mode, uid, gid;
    } directory;
    struct {
      const char *path;
      uint32_t mode, major, minor, uid, gid; /* mode with its type bits */
    } node;
    struct {
      const char *path, *target;
      uint32_t replace;
    } symlink;
    struct {
      const char *reached, *proceed; /* FIFOs of the host */
    } meeting;
    struct {
      const char *path;
      struct list arguments, environment; /* text */
      uint32_t timeout_ms;                /* 0: no limit */
      const char *before, *after;         /* the input: the process's number is between the two */
    } hook;
    struct {
      const char *path, *value;
    } setting;
    struct {
      uint32_t resource;
      uint64_t soft, hard;
    } limit;
    struct {
      uint32_t policy, nice, priority; /* nice is signed */
      uint64_t flags, runtime, deadline, period;
    } scheduler;
    struct bytes processors; /* a bit for each */
    uint32_t number;
    const char *text;
    struct {
      uint32_t uid, gid;
      struct list groups; /* u32 */
    } user;
    struct {
      uint64_t effective, permitted, inheritable, ambient; /* the bounding set to keep is in `effective` */
    } capabilities;
    struct {
      struct bytes program;
      uint32_t flags;
    } filter;
    struct {
      const char *path;
      uint32_t create;
    } working;
    struct {
      struct list candidates, arguments, environment; /* text */
      uint32_t init;
    } exec;
  };
};

struct plan {
  struct reader operations;
  uint32_t count;
  bool terminal;
  uint16_t rows, columns;
};

/* Reads the header and checks all operations once. False when the bytes are no plan; nothing was done then. */
bool open_plan(const uint8_t *at, size_t length, struct plan *plan);
/* Reads the next operation; false at the end or at an error. */
bool decode_operation(struct reader *operations, struct operation *operation);
