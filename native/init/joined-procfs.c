#define _GNU_SOURCE
#include "child.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/vfs.h>

/*
 * A procfs shows the pid namespace that its mounter is in. Who mounts the one of a namespace that is joined would have to be seen there, with the
 * right to mount; so it is taken from a process that is in it.
 */

static const char what[] = "a procfs of the pid namespace that is joined";

static bool same_file(const struct stat *a, const struct stat *b) {
  return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

/* Its root has the number 1 (PROC_ROOT_INO): a part of one that is bound there is none. The /proc of a mount namespace, alone, without what is mounted on it there. -1 where it is none of the wanted namespace: who has that may have
 * mounted anything there. */
static int copy_procfs(int mounts, int own, const struct stat *wanted) {
  struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
  struct statfs about;
  struct stat namespace, root;
  if (setns(mounts, CLONE_NEWNS) < 0)
    return -1;
  int place = sys_openat2(AT_FDCWD, "/proc", &how);
  int tree = place < 0 ? -1 : sys_open_tree(place, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
  close_fd(&place);
  if (setns(own, CLONE_NEWNS) < 0)
    _exit(1); /* in a container's mounts nothing more may be done */
  if (tree >= 0 && (fstatfs(tree, &about) < 0 || about.f_type != PROC_SUPER_MAGIC || fstat(tree, &root) < 0 || root.st_ino != 1 || fstatat(tree, "1/ns/pid", &namespace, 0) < 0 ||
                    !same_file(&namespace, wanted)))
    close_fd(&tree);
  return tree;
}

/* The mount namespace of the process with this number, if it is in the wanted pid namespace; else -1. */
static int open_mounts_of(int processes, const char *number, const struct stat *wanted) {
  char path[32 + 256];
  struct stat namespace;
  struct text text = {path, 0, sizeof path};
  text_add(&text, number);
  text_add(&text, "/ns/pid");
  if (fstatat(processes, path, &namespace, 0) < 0 || !same_file(&namespace, wanted))
    return -1;
  text.used = 0;
  text_add(&text, number);
  text_add(&text, "/ns/mnt");
  return openat(processes, path, O_RDONLY | O_CLOEXEC);
}

int take_joined_procfs(struct child *child) {
  struct stat wanted, ours;
  if (fstat(child->pid_namespace, &wanted) < 0 || stat("/proc/self/ns/pid", &ours) < 0)
    return fail("stat", what);
  if (same_file(&wanted, &ours))
    return 0;
  int own = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
  DIR *directory = opendir("/proc");
  if (own < 0 || !directory) {
    close_fd(&own);
    return fail("open", "/proc");
  }
  for (struct dirent *entry; child->joined_procfs < 0 && (entry = readdir(directory));) {
    if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
      continue;
    int mounts = open_mounts_of(dirfd(directory), entry->d_name, &wanted);
    if (mounts >= 0)
      child->joined_procfs = copy_procfs(mounts, own, &wanted);
    close_fd(&mounts);
  }
  closedir(directory);
  close_fd(&own);
  return child->joined_procfs < 0 ? fail_with(ESRCH, "open_tree", what) : 0;
}
