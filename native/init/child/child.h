/* The child that becomes the container's process: the data that it uses while it executes a plan. */
#pragma once

#include "../base/message.h"
#include "plan.h"

/*
 * Shared between the supervisor and one child until the child's execve; after that only the supervisor has it. The container may be able to
 * write to it (CAP_SYS_PTRACE). So the supervisor trusts its content only for decisions about this one process.
 */
/* The descriptors that arrive with SAYS_GO, in this order: three streams (without a terminal), the root's mount, the gate, descriptors for the program. */
struct handed {
  bool streams, root, gate;
  bool direct; /* no supervisor stays: the program does not end with the supervisor */
  uint32_t preserved;
};
#define PRESERVED_LIMIT (LETTER_FDS - 5)

enum stage { STAGE_BORN, STAGE_READY, STAGE_EXECUTING };
struct shared {
  volatile uint32_t stage;
  struct failure failure;
  struct handed handed;
  uint32_t plan_length;
  uint8_t plan[];
};
#define SHARED_SIZE (sizeof(struct shared) + PLAN_LIMIT)

/* Messages on the socket between supervisor and child: one letter, perhaps with descriptors. The socket's end means exec or death. */
#define SAYS_READY 'r'    /* child: it is in its namespaces and cgroups */
#define SAYS_UNMAPPED 'u' /* child: it is in a user namespace that it made itself and that has no maps yet */
#define SAYS_TERMINAL 't' /* child: sends the pty's master */
#define SAYS_WAITING 'w'  /* child: it has reached wait-start */
#define SAYS_GO 'g'       /* supervisor: sends the descriptors of struct handed */
#define SAYS_COMMIT 'c'   /* supervisor: log and socket are also open, the program may run */
#define SAYS_START 's'    /* supervisor: continue after wait-start */

struct child {
  struct shared *shared;
  volatile pid_t *born; /* a page that only the maker has: the kernel writes the number of the new process there */
  bool maker;           /* this process is invisible in the container; it still has to make the visible process */
  int early_procfs;     /* a procfs of the joined pid namespace, made before a user namespace took away the right to make it; or -1 */
  bool procfs_used;     /* the procfs is attached */
  int pid_namespace;    /* the pid namespace that the process will join; -1 when it has joined */
  bool wants_session;   /* the process itself must make a session */
  int socket;      /* to the supervisor */
  int root;        /* the container's root, -1 before attach-root */
  int handed_root; /* detached mount for attach-root */
  bool direct;     /* as in struct handed */
  int gate;        /* a FIFO, open for reading and writing: after wait-start the process waits there, without a supervisor; or -1 */
  bool released;   /* the supervisor has ended, and the process does not end with it */
  unsigned preserved; /* this many descriptors from 3 on belong to the program */
  int stdio[3];    /* they become 0, 1, 2; with a terminal each is the slave end of the pty */
  int procfs;      /* private procfs; opened when it is needed */
  int masked;      /* read-only tmpfs on the first masked directory; the other directories get copies */
  bool terminal, console_open, filtered, settled;
  bool uncommitted; /* SAYS_COMMIT has not arrived yet: the child need not wait for what the supervisor does meanwhile */
  uint16_t rows, columns;
  mode_t umask;
  bool umask_set;
  bool limits_processes; /* the process itself sets RLIMIT_NPROC */
  uint64_t process_limit[2];
};

#define BORN_SIZE 4096

/* supervisor/birth.c: makes the visible process in place of its maker, and returns in the new process. Without a maker it does nothing. */
int be_born(struct child *child);
int join_pid_namespace(struct child *child);
/* The work for the pid namespace that a maker can do only with its rights outside a user namespace. */
int prepare_for_user_namespace(struct child *child);
/* root/joined-procfs.c, before the process joins the pid namespace. */
bool joins_another_pid_namespace(const struct child *child);
/* A context (fsopen) of a procfs of that pid namespace. `early`: the process is not yet in the container's other namespaces. */
int open_joined_procfs(const struct child *child, bool early);
/* Checks that a mount is a procfs of that namespace. A namespace below it has other procfs, and somebody could have sent one of those. */
int check_joined_procfs(const struct child *child, int mount);

/* Executes the plan in child->shared. Returns only on failure, which is recorded. */
void execute_plan(struct child *child);

/* root/root.c: paths inside the root. A link never leads out of the root. */
int open_in_root(const struct child *child, const char *path, int flags);
int open_target(const struct child *child, const char *path, enum create_kind create, mode_t mode);
/* Returns the parent directory of a path (made with 0755 if it is missing), and puts the last component into `name`. */
int open_parent(const struct child *child, const char *path, char name[256]);
int private_procfs(struct child *child);

/* root/pivot.c */
int do_root_propagation(const struct operation *op);
int do_attach_root(struct child *child, const struct operation *op);
int do_readonly_root(struct child *child);
int do_pivot_root(struct child *child);
int do_chroot(struct child *child);

/* root/mounts.c */
int do_mount(struct child *child, const struct operation *op);
int do_bind(struct child *child, const struct operation *op);
int do_mount_attributes(struct child *child, const struct operation *op);
int do_mask(struct child *child, const char *path);
int do_readonly_path(struct child *child, const char *path);
/* A read-only tmpfs that is not attached yet. */
int make_empty_directory(void);
int make_early_procfs(struct child *child);
/* root/id-map.c: the owners of files in a mount that is not attached yet are mapped. Without a map it does nothing. */
int map_ids(struct child *child, int mount, const struct id_map *map);
/* root/copy-up.c: copies the content of a directory, with owners, modes and times, into another. */
int copy_tree(int from, int to, unsigned depth);

/* files.c */
int do_make_directory(struct child *child, const struct operation *op);
int do_make_node(struct child *child, const struct operation *op);
int do_make_symlink(struct child *child, const struct operation *op);
int do_sysctl(struct child *child, const struct operation *op);
int do_oom_score_adj(struct child *child, int32_t value);
int do_working_directory(struct child *child, const struct operation *op);
int do_loopback_up(void);

/* supervisor/birth.c */
/* A filter of the user may reject exit_group, and musl's _exit then tries for ever: a trap ends the process without a call. */
_Noreturn void end_child(int status);

/* scheduling.c */
int do_scheduler(const struct operation *op);
int do_io_priority(uint32_t value);
int do_cpu_affinity(const struct operation *op);

/* hooks.c */
/* Another program works now: tells it so, and waits until it writes. */
int do_meet(const struct operation *op);
/* Runs a program to its end, in the namespaces of this process. */
int do_hook(const struct operation *op);

/* identity.c */
int do_rlimit(struct child *child, const struct operation *op);
/* Sets the limit that do_rlimit postponed until there is no maker any more. */
int limit_processes(const struct child *child);
int do_set_user(struct child *child, const struct operation *op);
int do_bounding_set(uint64_t keep);
int do_capabilities(const struct operation *op);
int do_seccomp(struct child *child, const struct operation *op);
/* filter.c: true when a filter allows every call that be_born makes after it. */
bool filter_lets_be_born(const struct child *child, struct bytes program);
int do_session_keyring(const char *name);
/* Asks for SIGKILL when the supervisor dies (in a direct launch: only until the process is settled). Ends this process when the supervisor is
 * dead already. */
void follow_supervisor(const struct child *child);

/* terminal.c */
int open_console(struct child *child);
int do_bind_console(struct child *child, const char *path);
int do_new_session(struct child *child);
int take_session(struct child *child);

/* exec.c */
/* Waits for the supervisor's word, once. If the supervisor failed, this process ends. */
void await_commit(struct child *child);
/* Puts the standard streams in place, sets signals and mask to their defaults, and marks all other descriptors close-on-exec. */
int settle(struct child *child);
bool is_null_device(int fd);
/* Array of pointers to the texts of a list, with NULL at the end; NULL without memory. */
char **pointers(struct list list);
/* Fails when no candidate can be executed: for a process that waits before it executes its program. */
int do_find_program(const struct operation *op);
int do_exec(struct child *child, const struct operation *op);
