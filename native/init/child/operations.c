#define _GNU_SOURCE
#include "child.h"

#include <grp.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/stat.h>

static int join_namespace(struct child *child, const struct operation *op) {
  if (op->join.namespace_flag & CLONE_NEWUSER && prepare_for_user_namespace(child) < 0)
    return -1;
  int file = open(op->join.path, O_RDONLY | O_CLOEXEC);
  if (file < 0)
    return fail("open", op->join.path);
  int done = setns(file, (int)op->join.namespace_flag);
  close_fd(&file);
  return done < 0 ? fail("setns", op->join.path) : 0;
}

/*
 * Joins the namespaces of a process whose descriptor (of pidfd_open) came in place of a root's mount. The pid namespace is that of the stem.
 */
static int join_process(struct child *child, uint32_t namespaces) {
  if (child->handed_root < 0)
    return fail_with(EBADF, "setns", "no process was handed over");
  if (setns(child->handed_root, (int)namespaces) < 0)
    return fail("setns", "the container's namespaces");
  close_fd(&child->handed_root);
  if (namespaces & CLONE_NEWUSER && (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0))
    return fail("setresuid", "root of the user namespace");
  follow_supervisor(child);
  child->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (child->root < 0 || chdir("/") < 0)
    return fail("open", "/");
  return 0;
}

/* The gate is also open for writing here, so the read waits until another process writes. */
static int wait_at_gate(struct child *child) {
  char byte;
  ssize_t got;
  child->released = true;
  /* It may wait for long, so it keeps nothing that it does not need. */
  for (int i = 0; i < 3; i++) {
    if (child->stdio[i] > 2)
      close_fd(&child->stdio[i]);
  }
  do
    got = read(child->gate, &byte, 1);
  while (got < 0 && errno == EINTR);
  if (got != 1)
    return fail("read", "gate");
  close_fd(&child->gate);
  return 0;
}

static int wait_start(struct child *child) {
  int none[1];
  unsigned count = 0;
  if (child->direct && child->gate < 0)
    return fail_with(EINVAL, "request", "wait-start without a gate");
  await_commit(child);
  if ((child->maker || child->direct) && (settle(child) < 0 || be_born(child) < 0))
    return -1;
  if (send_letter(child->socket, SAYS_WAITING, NULL, 0) < 0)
    return fail("sendmsg", "");
  if (child->direct)
    return wait_at_gate(child);
  if (receive_letter(child->socket, none, &count) != SAYS_START)
    end_child(137); /* the supervisor has ended */
  return 0;
}

/* From here on, each step leaves the process with fewer rights. Steps that need the engine's rights come before. */
static bool gives_up_rights(uint32_t kind) {
  return kind == OP_SECCOMP || kind == OP_BOUNDING_SET || kind == OP_SET_USER || kind == OP_CAPABILITIES;
}

static int run_operation(struct child *child, const struct operation *op) {
  if (gives_up_rights(op->kind) && join_pid_namespace(child) < 0)
    return -1;
  switch (op->kind) {
  case OP_JOIN_NAMESPACE:
    return join_namespace(child, op);
  case OP_JOIN_PROCESS:
    return join_process(child, op->number);
  case OP_MEET:
    return do_meet(op);
  case OP_HOOK:
    return do_hook(op);
  case OP_ROOT_PROPAGATION:
    return do_root_propagation(op);
  case OP_ATTACH_ROOT:
    return do_attach_root(child, op);
  case OP_MOUNT:
    return do_mount(child, op);
  case OP_BIND:
    return do_bind(child, op);
  case OP_MOUNT_ATTRIBUTES:
    return do_mount_attributes(child, op);
  case OP_MAKE_DIRECTORY:
    return do_make_directory(child, op);
  case OP_MAKE_NODE:
    return do_make_node(child, op);
  case OP_MAKE_SYMLINK:
    return do_make_symlink(child, op);
  case OP_BIND_CONSOLE:
    return do_bind_console(child, op->text);
  case OP_MASK:
    return do_mask(child, op->text);
  case OP_READONLY_PATH:
    return do_readonly_path(child, op->text);
  case OP_READONLY_ROOT:
    return do_readonly_root(child);
  case OP_PIVOT_ROOT:
    return do_pivot_root(child);
  case OP_CHROOT:
    return do_chroot(child);
  case OP_SYSCTL:
    return do_sysctl(child, op);
  case OP_SET_HOSTNAME:
    return sethostname(op->text, strlen(op->text)) < 0 ? fail("sethostname", "") : 0;
  case OP_SET_DOMAINNAME:
    return setdomainname(op->text, strlen(op->text)) < 0 ? fail("setdomainname", "") : 0;
  case OP_LOOPBACK_UP:
    return do_loopback_up();
  case OP_RLIMIT:
    return do_rlimit(child, op);
  case OP_OOM_SCORE_ADJ:
    return do_oom_score_adj(child, (int32_t)op->number);
  case OP_UMASK:
    child->umask = op->number & 0777;
    child->umask_set = true;
    if (child->settled)
      umask(child->umask);
    return 0;
  case OP_PERSONALITY:
    return personality(op->number) < 0 ? fail("personality", "") : 0;
  case OP_SESSION_KEYRING:
    return do_session_keyring(op->text);
  case OP_NEW_SESSION:
    return do_new_session(child);
  case OP_SET_USER:
    return do_set_user(child, op);
  case OP_BOUNDING_SET:
    return do_bounding_set(op->capabilities.effective);
  case OP_CAPABILITIES:
    return do_capabilities(op);
  case OP_NO_NEW_PRIVILEGES:
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? fail("prctl", "PR_SET_NO_NEW_PRIVS") : 0;
  case OP_SECCOMP:
    return do_seccomp(child, op);
  case OP_WORKING_DIRECTORY:
    return do_working_directory(child, op);
  case OP_WAIT_START:
    return wait_start(child);
  case OP_SCHEDULER:
    return do_scheduler(op);
  case OP_IO_PRIORITY:
    return do_io_priority(op->number);
  case OP_CPU_AFFINITY:
    return do_cpu_affinity(op);
  case OP_FIND_PROGRAM:
    return do_find_program(op);
  case OP_EXEC:
    return do_exec(child, op);
  default:
    return fail_with(ENOSYS, "plan", "unknown operation");
  }
}

void execute_plan(struct child *child) {
  struct plan plan;
  struct operation operation;
  if (!open_plan(child->shared->plan, child->shared->plan_length, &plan)) {
    fail_with(EBADMSG, "plan", "the bytes are no plan");
    return;
  }
  child->terminal = plan.terminal;
  child->rows = plan.rows;
  child->columns = plan.columns;
  umask(0);
  for (uint32_t index = 0; decode_operation(&plan.operations, &operation); index++) {
    failure->operation = index;
    if (run_operation(child, &operation) < 0)
      return;
  }
  fail_with(ENOEXEC, "plan", "no exec operation ended the plan");
}
