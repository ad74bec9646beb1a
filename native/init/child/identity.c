#define _GNU_SOURCE
#include "child.h"

#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define CAPABILITY_VERSION 0x20080522
#define GROUPS_LIMIT 65536

void follow_supervisor(const struct child *child) {
  if (child->released)
    return;
  prctl(PR_SET_PDEATHSIG, child->direct && child->settled ? 0 : SIGKILL, 0, 0, 0);
  /* The supervisor may have died before the line above; then its end of the socket is closed. */
  struct pollfd gone = {.fd = child->socket, .events = 0};
  if (poll(&gone, 1, 0) > 0 && gone.revents & (POLLHUP | POLLERR))
    end_child(137);
}

static int set_limit(uint32_t resource, uint64_t soft, uint64_t hard) {
  struct {
    uint64_t soft, hard;
  } limit = {soft, hard};
  return (int)syscall(SYS_prlimit64, 0, resource, &limit, NULL);
}

/* Until a maker has ended, the user has one process more. So the limit is one higher until then, if the engine may raise it. */
static bool allow_maker(struct child *child, uint64_t soft, uint64_t hard) {
  if (soft > hard || soft >= UINT64_MAX - 1 || set_limit(RLIMIT_NPROC, soft + 1, hard > soft ? hard : soft + 1) < 0)
    return false;
  child->limits_processes = true;
  child->process_limit[0] = soft;
  child->process_limit[1] = hard;
  return true;
}

int do_rlimit(struct child *child, const struct operation *op) {
  if (child->maker && op->limit.resource == RLIMIT_NPROC && allow_maker(child, op->limit.soft, op->limit.hard))
    return 0;
  return set_limit(op->limit.resource, op->limit.soft, op->limit.hard) < 0 ? fail("prlimit64", "") : 0;
}

int limit_processes(const struct child *child) {
  if (child->limits_processes && set_limit(RLIMIT_NPROC, child->process_limit[0], child->process_limit[1]) < 0)
    return fail("prlimit64", "");
  return 0;
}

static int set_capabilities(uint64_t effective, uint64_t permitted, uint64_t inheritable) {
  struct capability_header header = {CAPABILITY_VERSION, 0};
  struct capability_data data[2] = {
      {(uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable},
      {(uint32_t)(effective >> 32), (uint32_t)(permitted >> 32), (uint32_t)(inheritable >> 32)},
  };
  return (int)syscall(SYS_capset, &header, data);
}

static int permitted_capabilities(uint64_t *permitted, uint64_t *inheritable) {
  struct capability_header header = {CAPABILITY_VERSION, 0};
  struct capability_data data[2] = {{0}};
  if (syscall(SYS_capget, &header, data) < 0)
    return -1;
  *permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
  *inheritable = data[0].inheritable | (uint64_t)data[1].inheritable << 32;
  return 0;
}

int do_set_user(struct child *child, const struct operation *op) {
  gid_t few[64], *groups = few;
  size_t size = op->user.groups.count * sizeof *groups;
  if (op->user.groups.count > 64 && !(groups = map_pages(size, false)))
    return fail_with(ENOMEM, "mmap", "groups");
  struct reader items = op->user.groups.items;
  for (uint32_t i = 0; i < op->user.groups.count; i++)
    groups[i] = read_u32(&items);
  /* So that the program can open /dev/stdout again. A file that came from the caller may reject this; that is a matter of the file's owner. */
  for (int i = 0; i < 3; i++) {
    if (child->stdio[i] >= 0 && op->user.uid != 0 && !is_null_device(child->stdio[i]))
      (void)!fchown(child->stdio[i], op->user.uid, (gid_t)-1);
  }
  if (syscall(SYS_setgroups, op->user.groups.count, groups) < 0)
    return fail("setgroups", "");
  if (groups != few)
    unmap_pages(groups, size);
  if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
    return fail("prctl", "PR_SET_KEEPCAPS");
  if (syscall(SYS_setresgid, op->user.gid, op->user.gid, op->user.gid) < 0)
    return fail("setresgid", "");
  if (syscall(SYS_setresuid, op->user.uid, op->user.uid, op->user.uid) < 0)
    return fail("setresuid", "");
  uint64_t permitted, inheritable;
  if (permitted_capabilities(&permitted, &inheritable) < 0 || set_capabilities(permitted, permitted, inheritable) < 0)
    return fail("capset", "");
  prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
  /* A change of user removes the death signal. */
  follow_supervisor(child);
  return 0;
}

int do_bounding_set(uint64_t keep) {
  for (int capability = 0; capability < 64; capability++) {
    if (keep >> capability & 1)
      continue;
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0) {
      if (errno == EINVAL)
        break; /* the last capability of this kernel was the one before */
      return fail("prctl", "PR_CAPBSET_DROP");
    }
  }
  return 0;
}

int do_capabilities(const struct operation *op) {
  if (set_capabilities(op->capabilities.effective, op->capabilities.permitted, op->capabilities.inheritable) < 0)
    return fail("capset", "");
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
    return fail("prctl", "PR_CAP_AMBIENT_CLEAR_ALL");
  for (int capability = 0; capability < 64; capability++) {
    if (!(op->capabilities.ambient >> capability & 1))
      continue;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) < 0)
      return fail("prctl", "PR_CAP_AMBIENT_RAISE");
  }
  return 0;
}

int do_seccomp(struct child *child, const struct operation *op) {
  /* From here on the filter decides which calls are allowed, so all other work is done before. */
  if (settle(child) < 0)
    return -1;
  if (child->maker && !filter_lets_be_born(child, op->filter.program) && be_born(child) < 0)
    return -1;
  struct filter_program program = {(uint16_t)(op->filter.program.length / 8), op->filter.program.at};
  uint64_t aligned[4096];
  memcpy(aligned, op->filter.program.at, op->filter.program.length);
  program.instructions = aligned;
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, op->filter.flags, &program) < 0)
    return fail("seccomp", "");
  child->filtered = true;
  return 0;
}

int do_session_keyring(const char *name) {
  long done = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, *name ? name : NULL, 0, 0, 0);
  return done < 0 && errno != ENOSYS && errno != EDQUOT ? fail("keyctl", "") : 0;
}
