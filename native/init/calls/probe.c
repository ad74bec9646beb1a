#define _GNU_SOURCE
/*
 * Tries which kernel features that launches, images and the supervisor need are there. Each try gives 0, or the errno of the call that failed.
 * packages/runtime/src/kernel-features.ts decides what that means. The tries run in a process of its own with its own mount namespace, so that
 * nothing is left after it ends.
 */
#include "../base/base.h"
#include "one-call.h"

#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
#define RESOLVE_CACHED 0x20
#define MFD_EXEC_FLAG 0x10U
#define KEYCTL_GET_KEYRING_ID 0
#define SESSION_KEYRING (-3)
#define NOT_OPEN (-1)
/* Higher than any descriptor that this program uses. */
#define UNUSED_FD 1000U

/* A tmpfs for the tries. Later tries reach it only through this descriptor, never by a path, so they touch nothing of the host. */
static int place = NOT_OPEN;
/*
 * errno of the tries that other tries need. When such a try failed, the tries after it count as successful: the result then names the one
 * missing feature, and not everything that depends on it.
 */
static int separate, attached;

static int result(long done) {
  return done < 0 ? errno : 0;
}

/* For a call with an argument that the kernel must reject: exactly this rejection shows that the call exists. */
static int refused_with(long done, int expected) {
  return done < 0 && errno == expected ? 0 : done < 0 ? errno : 0;
}

static int try_openat2(void) {
  struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
  return result(sys_openat2(AT_FDCWD, "/", &how));
}

static int try_openat2_cached(void) {
  struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_CACHED};
  return refused_with(sys_openat2(AT_FDCWD, "/", &how), EAGAIN);
}

/* The child ends at once; `pidfd` belongs to it. */
static int clone_child(uint64_t more, int cgroup, int *pidfd) {
  struct clone_arguments arguments = {
      .flags = CLONE_PIDFD | more,
      .pidfd = (uint64_t)(uintptr_t)pidfd,
      .exit_signal = SIGCHLD,
      .cgroup = (uint64_t)(unsigned)cgroup,
  };
  long pid = syscall(SYS_clone3, &arguments, sizeof arguments);
  if (pid == 0)
    _exit(0);
  return pid < 0 ? -1 : (int)pid;
}

static int child_pidfd = NOT_OPEN, child_pid = NOT_OPEN;

static int try_clone3(void) {
  child_pid = clone_child(0, 0, &child_pidfd);
  return result(child_pid);
}

static int try_pidfd_open(void) {
  return result(sys_pidfd_open(getpid()));
}

static int try_pidfd_send_signal(void) {
  int own = sys_pidfd_open(getpid());
  return own < 0 ? 0 : result(sys_pidfd_send_signal(own, 0));
}

static int try_waitid_pidfd(void) {
  siginfo_t about;
  int done = child_pid < 0 ? 0 : result(waitid(P_PIDFD_ID, (id_t)child_pidfd, &about, WEXITED));
  if (done)
    waitpid(child_pid, NULL, 0);
  return done;
}

/* The kernel must reject a directory that is no cgroup because it is no cgroup (EBADF), and not because the flag is unknown. */
static int try_clone_into_cgroup(void) {
  int pidfd, directory = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  return child_pid < 0 ? 0 : refused_with(clone_child(CLONE_INTO_CGROUP, directory, &pidfd), EBADF);
}

static int try_setns_pidfd(void) {
  int own = sys_pidfd_open(getpid());
  return own < 0 ? 0 : result(setns(own, CLONE_NEWUTS));
}

static int try_close_range(void) {
  return result(sys_close_range(UNUSED_FD, UNUSED_FD, CLOSE_RANGE_CLOEXEC));
}

static int try_fchmodat2(void) {
  return refused_with(syscall(SYS_fchmodat2, NOT_OPEN, "x", 0, 0), EBADF);
}

static int try_memfd_exec(void) {
  return result(memfd_create("probe", MFD_CLOEXEC | MFD_EXEC_FLAG));
}

static int try_seccomp(void) {
  return refused_with(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NULL), EFAULT);
}

static int try_keyrings(void) {
  return refused_with(syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, SESSION_KEYRING, 0, 0, 0), ENOKEY);
}

static int try_mount_namespace(void) {
  if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
    separate = errno;
  return separate;
}

static int try_uts_namespace(void) {
  return result(unshare(CLONE_NEWUTS));
}

static int try_ipc_namespace(void) {
  return result(unshare(CLONE_NEWIPC));
}

static int try_pid_namespace(void) {
  return result(unshare(CLONE_NEWPID));
}

static int try_cgroup_namespace(void) {
  return result(unshare(CLONE_NEWCGROUP));
}

/* A detached mount; -1 with errno. */
static int detached(const char *type) {
  int context = sys_fsopen(type);
  if (context < 0 || sys_fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL) < 0)
    return -1;
  return sys_fsmount(context, 0);
}

static int try_new_mounts(void) {
  place = separate ? NOT_OPEN : detached("tmpfs");
  if (place < 0) {
    attached = separate ? separate : errno;
    return separate ? 0 : attached;
  }
  int at = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  return attached = result(at < 0 ? -1 : sys_move_mount(place, at));
}

static int copy_of_place(void) {
  return sys_open_tree(place, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
}

static int try_open_tree(void) {
  return attached ? 0 : result(copy_of_place());
}

static int try_mount_setattr(void) {
  struct mount_attributes change = {.set = MOUNT_ATTR_RDONLY};
  int copy = attached ? -1 : copy_of_place();
  return copy < 0 ? 0 : result(sys_mount_setattr(copy, AT_RECURSIVE, &change));
}

static int try_overlay(void) {
  if (attached)
    return 0;
  if (fchdir(place) < 0 || mkdir("lower", 0700) < 0 || mkdir("upper", 0700) < 0 || mkdir("work", 0700) < 0 || mkdir("merged", 0700) < 0)
    return errno;
  return result(mount("overlay", "merged", "overlay", 0, "lowerdir=lower,upperdir=upper,workdir=work"));
}

/* When overlay does not check its parameters, it accepts any name. So a name that does not exist must be rejected. */
static int try_overlay_by_layer(void) {
  if (attached)
    return 0;
  int context = sys_fsopen("overlay");
  if (context < 0 || sys_fsconfig(context, FSCONFIG_SET_STRING, "lowerdir+", "/") < 0)
    return errno;
  return sys_fsconfig(context, FSCONFIG_SET_STRING, "no-such-option", "/") < 0 ? 0 : EINVAL;
}

static int try_file_system(const char *type) {
  if (attached)
    return 0;
  int context = sys_fsopen(type);
  int done = result(context);
  close_fd(&context);
  return done;
}

static int try_proc(void) {
  return try_file_system("proc");
}

static int try_sysfs(void) {
  return try_file_system("sysfs");
}

static int try_mqueue(void) {
  return try_file_system("mqueue");
}

static int try_pty(void) {
  if (attached)
    return 0;
  int pts = detached("devpts"), unlock = 0;
  int master = pts < 0 ? -1 : openat(pts, "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0)
    return errno;
  return result(ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
}

static const struct {
  const char *name;
  int (*run)(void);
} tries[] = {
    {"openat2", try_openat2},
    {"openat2-cached", try_openat2_cached},
    {"clone3", try_clone3},
    {"pidfd_open", try_pidfd_open},
    {"pidfd_send_signal", try_pidfd_send_signal},
    {"waitid-pidfd", try_waitid_pidfd},
    {"clone-into-cgroup", try_clone_into_cgroup},
    {"setns-pidfd", try_setns_pidfd},
    {"close_range", try_close_range},
    {"fchmodat2", try_fchmodat2},
    {"memfd-exec", try_memfd_exec},
    {"seccomp", try_seccomp},
    {"keyrings", try_keyrings},
    {"mount-namespace", try_mount_namespace},
    {"uts-namespace", try_uts_namespace},
    {"ipc-namespace", try_ipc_namespace},
    {"pid-namespace", try_pid_namespace},
    {"cgroup-namespace", try_cgroup_namespace},
    {"new-mounts", try_new_mounts},
    {"open_tree", try_open_tree},
    {"mount_setattr", try_mount_setattr},
    {"overlay", try_overlay},
    {"overlay-by-layer", try_overlay_by_layer},
    {"proc", try_proc},
    {"sysfs", try_sysfs},
    {"mqueue", try_mqueue},
    {"pty", try_pty},
};

void probe(struct text *out) {
  for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
    text_add(out, i ? " " : "");
    text_add(out, tries[i].name);
    text_add(out, "=");
    text_add_number(out, (uint64_t)tries[i].run(), 1);
  }
}
