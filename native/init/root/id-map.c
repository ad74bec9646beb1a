#define _GNU_SOURCE
#include "../child/child.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define ATTRIBUTE_IDMAP 0x00100000

static int write_map(int procfs, pid_t pid, const char *name, const char *map) {
  char path[64];
  struct text text = {path, 0, sizeof path};
  text_add_number(&text, (uint64_t)pid, 1);
  text_add(&text, "/");
  text_add(&text, name);
  return write_file(procfs, path, map, strlen(map));
}

static int open_user_namespace(int procfs, pid_t pid) {
  char path[64];
  struct text text = {path, 0, sizeof path};
  text_add_number(&text, (uint64_t)pid, 1);
  text_add(&text, "/ns/user");
  return openat(procfs, path, O_RDONLY | O_CLOEXEC);
}

/* The kernel takes a mapping only as a user namespace. A process that does nothing makes one and ends. */
static int make_mapping(struct child *child, const struct id_map *map) {
  int procfs = private_procfs(child), namespace = -1, status;
  if (procfs < 0)
    return fail("fsopen", "proc");
  pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
  if (pid == 0) {
    for (;;)
      pause();
  }
  if (pid < 0)
    return fail("clone", "user");
  if (write_map(procfs, pid, "uid_map", map->users) < 0 || write_map(procfs, pid, "gid_map", map->groups) < 0)
    fail("write", "the id map of a mount");
  else if ((namespace = open_user_namespace(procfs, pid)) < 0)
    fail("open", "ns/user");
  kill(pid, SIGKILL);
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
    ;
  return namespace;
}

int map_ids(struct child *child, int mount, const struct id_map *map) {
  if (!map->users || (!*map->users && !*map->groups))
    return 0;
  int namespace = make_mapping(child, map);
  if (namespace < 0)
    return -1;
  struct mount_attributes change = {.set = ATTRIBUTE_IDMAP, .user_namespace = (uint64_t)namespace};
  int done = sys_mount_setattr(mount, map->recursive ? AT_RECURSIVE : 0, &change);
  close_fd(&namespace);
  return done < 0 ? fail("mount_setattr", "the ids of the mount are mapped") : 0;
}
