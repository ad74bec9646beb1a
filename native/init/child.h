/* The process that becomes the container's: what it has in hand while it executes a plan. */
#pragma once

#include "plan.h"

/*
 * Shared between the supervisor and one child until the child's execve; then only the supervisor has it. The container may be able to
 * write to it (CAP_SYS_PTRACE), so nothing in it is trusted beyond the fate of this one process.
 */
/* What comes with SAYS_GO, in this order: three streams (no terminal), the root's mount, descriptors for the program. */
struct handed {
  bool streams, root;
  bool direct; /* no supervisor stays: the program does not end with it */
  uint32_t preserved;
};
#define PRESERVED_LIMIT 60
#define LETTER_FDS (4 + PRESERVED_LIMIT)

enum stage { STAGE_BORN, STAGE_READY, STAGE_EXECUTING };
struct shared {
  volatile uint32_t stage;
  struct failure failure;
  struct handed handed;
  uint32_t plan_length;
  uint8_t plan[];
};
#define SHARED_SIZE (sizeof(struct shared) + PLAN_LIMIT)

/* Messages on the socket between the two: one letter, perhaps with descriptors. Its end means exec, or death. */
#define SAYS_READY 'r'    /* child: in its namespaces and cgroups */
#define SAYS_UNMAPPED 'u' /* child: in a user namespace that it made itself, without maps */
#define SAYS_TERMINAL 't' /* child: with the pty's master */
#define SAYS_WAITING 'w'  /* child: at wait-start */
#define SAYS_GO 'g'       /* supervisor: with the descriptors of struct handed */
#define SAYS_COMMIT 'c'   /* supervisor: log and socket are open too, the program may run */
#define SAYS_START 's'    /* supervisor: go on after wait-start */

struct child {
  struct shared *shared;
  volatile pid_t *born; /* a page that only the maker has: where the kernel writes the number of the process that is made below */
  bool maker;           /* nobody in the container sees this process; the one that will be seen is still to be made */
  int early_procfs;     /* a procfs of the pid namespace that is joined, made before a user namespace took the right to; or -1 */
  bool procfs_used;     /* it is attached */
  int pid_namespace;    /* the one that the process will be in, -1 when it is joined already */
  bool wants_session;   /* a session is to be made by the process itself */
  int socket;      /* to the supervisor */
  int root;        /* the container's root, -1 before attach-root */
  int handed_root; /* detached mount for attach-root */
  bool direct;     /* as in struct handed */
  unsigned preserved; /* so many descriptors from 3 on are the program's */
  int stdio[3];    /* become 0, 1, 2; the pty's other end three times with a terminal */
  int procfs;      /* private procfs, opened when needed */
  int masked;      /* read-only tmpfs over the first masked directory; the others get copies */
  bool terminal, console_open, filtered, settled;
  bool uncommitted; /* SAYS_COMMIT is still to come: what the supervisor does meanwhile costs no time */
  uint16_t rows, columns;
  mode_t umask;
  bool umask_set;
  bool limits_processes; /* RLIMIT_NPROC is set by the process itself */
  uint64_t process_limit[2];
};

#define BORN_SIZE 4096

/* birth.c: the process that is seen, in place of its maker; comes back in it. Nothing where there is no maker. */
int be_born(struct child *child);
int join_pid_namespace(struct child *child);
/* Everything that a maker can do for the pid namespace only with the rights that it has outside a user namespace. */
int prepare_for_user_namespace(struct child *child);
/* joined-procfs.c, before the pid namespace is joined. */
bool joins_another_pid_namespace(const struct child *child);
/* A context (fsopen) of a procfs of it. `early`: the other namespaces are not the container's yet. */
int open_joined_procfs(const struct child *child, bool early);
/* That a mount is such a procfs: a namespace below that one has others, which could have been sent. */
int check_joined_procfs(const struct child *child, int mount);

/* Executes the plan in child->shared and does not come back but on failure, which is recorded. */
void execute_plan(struct child *child);

/* root.c: paths inside the root. Never follows a link out of it. */
int open_in_root(const struct child *child, const char *path, int flags);
int open_target(const struct child *child, const char *path, enum create_kind create, mode_t mode);
/* The parent directory of a path (made where missing, 0755), and in `name` its last component. */
int open_parent(const struct child *child, const char *path, char name[256]);
int private_procfs(struct child *child);

/* mounts.c */
int do_root_propagation(const struct operation *op);
int do_attach_root(struct child *child, const struct operation *op);
int do_mount(struct child *child, const struct operation *op);
int do_bind(struct child *child, const struct operation *op);
int do_mount_attributes(struct child *child, const struct operation *op);
int do_mask(struct child *child, const char *path);
int do_readonly_path(struct child *child, const char *path);
int do_readonly_root(struct child *child);
int do_pivot_root(struct child *child);
int do_chroot(struct child *child);
/* A read-only tmpfs, not attached yet. */
int make_empty_directory(void);
int make_early_procfs(struct child *child);
/* copy-up.c: copies a directory's content, owners, modes and times into another. */
int copy_tree(int from, int to, unsigned depth);

/* files.c */
int do_make_directory(struct child *child, const struct operation *op);
int do_make_node(struct child *child, const struct operation *op);
int do_make_symlink(struct child *child, const struct operation *op);
int do_sysctl(struct child *child, const struct operation *op);
int do_oom_score_adj(struct child *child, int32_t value);
int do_working_directory(struct child *child, const struct operation *op);
int do_loopback_up(void);

/* identity.c */
int do_rlimit(struct child *child, const struct operation *op);
/* What do_rlimit put off until there is no maker any more. */
int limit_processes(const struct child *child);
int do_set_user(struct child *child, const struct operation *op);
int do_bounding_set(uint64_t keep);
int do_capabilities(const struct operation *op);
int do_seccomp(struct child *child, const struct operation *op);
/* filter.c: true where a filter allows every call that be_born makes after it. */
bool filter_lets_be_born(const struct child *child, struct bytes program);
int do_session_keyring(const char *name);
/* Asks for SIGKILL at the supervisor's death (a direct launch: until it is settled), and ends here when the supervisor is dead already. */
void follow_supervisor(const struct child *child);

/* terminal.c */
int open_console(struct child *child);
int do_bind_console(struct child *child, const char *path);
int do_new_session(struct child *child);
int take_session(struct child *child);

/* exec.c */
/* Waits for the supervisor's word, once. What it could not do ends this process. */
void await_commit(struct child *child);
/* Standard streams in place, signals and mask at their defaults, everything else closed at execve. */
int settle(struct child *child);
bool is_null_device(int fd);
int do_exec(struct child *child, const struct operation *op);

/* message.c */
ssize_t send_with_fds(int socket, const void *data, size_t size, const int *fds, unsigned count, int flags);
int send_letter(int socket, char letter, const int *fds, unsigned count);
/* Blocks unless the socket does not. Gives the letter, 0 at the end, -1 with errno. `*count`: room in, number out. */
int receive_letter(int socket, int *fds, unsigned *count);
ssize_t receive_with_fds(int socket, void *data, size_t size, int *fds, unsigned *count);
