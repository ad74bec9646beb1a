/**
 * The seccomp profile of a container that names none: the system calls that Docker 29 allows (moby/profiles seccomp/default.json). All others
 * fail with EPERM, or with ENOSYS when they are newer than this list.
 */
import type { DockerSeccomp, DockerSeccompRule } from "@fathom/spec";
import { errnoNumber } from "@fathom/sys";

/** Allowed for everyone, grouped by topic; the order has no meaning. */
const always = {
  files:
    "access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64 " +
    "fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync flock fstat fstat64 " +
    "fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents getdents64 ioctl lchown lchown32 link linkat " +
    "_llseek lseek lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2 pread64 preadv preadv2 " +
    "pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv rename renameat renameat2 rmdir sendfile sendfile64 splice " +
    "stat stat64 statfs statfs64 statx symlink symlinkat sync sync_file_range syncfs tee truncate truncate64 umask unlink unlinkat " +
    "utime utimensat utimensat_time64 utimes vmsplice write writev cachestat listmount statmount",
  attributes:
    "fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr listxattrat llistxattr lremovexattr " +
    "lsetxattr removexattr removexattrat setxattr setxattrat",
  waiting:
    "epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 " +
    "fanotify_mark inotify_add_watch inotify_init inotify_init1 inotify_rm_watch _newselect pause poll ppoll ppoll_time64 pselect6 " +
    "pselect6_time64 select signalfd signalfd4",
  pipesAndSockets:
    "accept accept4 bind connect getpeername getsockname getsockopt listen pipe pipe2 recv recvfrom recvmmsg recvmmsg_time64 recvmsg " +
    "send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair",
  asynchronousIo:
    "io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ioprio_get ioprio_set",
  memory:
    "brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2 mprotect mremap mseal " +
    "msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease remap_file_pages",
  ipc:
    "ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl msgget " +
    "msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget",
  processes:
    "execve execveat exit exit_group fork getpgid getpgrp getpid getppid getpriority getrlimit getrusage getsid gettid kill pidfd_open " +
    "pidfd_send_signal prctl prlimit64 restart_syscall rseq seccomp setpgid setpriority setrlimit setsid set_tid_address tgkill tkill " +
    "ugetrlimit uretprobe vfork wait4 waitid waitpid",
  threads:
    "futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake get_robust_list get_thread_area set_robust_list set_thread_area",
  scheduling:
    "getcpu sched_getaffinity sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min sched_getscheduler " +
    "sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield",
  signals:
    "rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 " +
    "rt_tgsigqueueinfo sigaltstack sigprocmask sigreturn",
  identity:
    "capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid getresgid32 getresuid " +
    "getresuid32 getuid getuid32 setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setregid setregid32 " +
    "setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setuid setuid32 landlock_add_rule landlock_create_ruleset " +
    "landlock_restrict_self",
  time:
    "adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep " +
    "clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time timer_create timer_delete timer_getoverrun timer_gettime " +
    "timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 " +
    "times",
  machine: "getrandom riscv_hwprobe sysinfo uname",
} as const;

/** Allowed with a capability, because the call then does only what the capability is for. */
const withCapability: Readonly<Record<string, string>> = {
  CAP_DAC_READ_SEARCH: "open_by_handle_at",
  CAP_SYS_ADMIN:
    "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules lsm_set_self_attr " +
    "mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 " +
    "unshare",
  CAP_SYS_BOOT: "reboot",
  CAP_SYS_CHROOT: "chroot",
  CAP_SYS_MODULE: "delete_module init_module finit_module",
  CAP_SYS_PACCT: "acct",
  CAP_SYS_PTRACE: "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
  CAP_SYS_RAWIO: "iopl ioperm",
  CAP_SYS_TIME: "settimeofday stime clock_settime clock_settime64",
  CAP_SYS_TTY_CONFIG: "vhangup",
  CAP_SYS_NICE: "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
  CAP_SYSLOG: "syslog",
  CAP_BPF: "bpf",
  CAP_PERFMON: "perf_event_open",
};

/** Calls that only some machines have. */
const onMachines: readonly { readonly arches: readonly string[]; readonly names: string }[] = [
  { arches: ["ppc64le"], names: "sync_file_range2 swapcontext" },
  {
    arches: ["arm", "arm64"],
    names: "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
  },
  { arches: ["amd64", "x32"], names: "arch_prctl" },
  { arches: ["amd64", "x32", "x86"], names: "modify_ldt" },
  { arches: ["s390", "s390x"], names: "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr" },
  { arches: ["riscv64"], names: "riscv_flush_icache" },
];

/**
 * The allowed arguments of personality(2): Linux and 32-bit Linux, each with and without switched-off address space randomisation, and the
 * question for the present value.
 */
const personalities = [0x0, 0x8, 0x20000, 0x20008, 0xffff_ffff] as const;

/** AF_ALG (38) reaches the kernel's crypto code, AF_VSOCK (40) the hypervisor: all other families are allowed. */
const socketFamilies = [
  { value: 38, op: "SCMP_CMP_LT" },
  { value: 39, op: "SCMP_CMP_EQ" },
  { value: 40, op: "SCMP_CMP_GT" },
] as const;

/** All CLONE_NEW* except the time namespace: without CAP_SYS_ADMIN, clone only makes processes and threads. */
const cloneNamespaces = 0x7e02_0000;
const ENOSYS = errnoNumber("ENOSYS");

function allow(names: string, more: Partial<DockerSeccompRule> = {}): DockerSeccompRule {
  return { names: names.split(" "), action: "SCMP_ACT_ALLOW", ...more };
}

function rules(): DockerSeccompRule[] {
  const administrator = { caps: ["CAP_SYS_ADMIN"] };
  const argument = (
    index: number,
    op: "SCMP_CMP_EQ" | "SCMP_CMP_LT" | "SCMP_CMP_GT" | "SCMP_CMP_MASKED_EQ",
    value: number,
  ) => ({
    args: [{ index, value, op }],
  });
  return [
    ...Object.values(always).map((names) => allow(names)),
    // On older kernels, a tracer could change a call after the filter had checked it.
    allow("process_vm_readv process_vm_writev ptrace", { includes: { minKernel: "4.8" } }),
    ...socketFamilies.map(({ value, op }) => allow("socket", argument(0, op, value))),
    ...personalities.map((value) => allow("personality", argument(0, "SCMP_CMP_EQ", value))),
    ...onMachines.map(({ arches, names }) => allow(names, { includes: { arches: [...arches] } })),
    ...Object.entries(withCapability).map(([name, names]) => allow(names, { includes: { caps: [name] } })),
    allow("clone", {
      ...argument(0, "SCMP_CMP_MASKED_EQ", cloneNamespaces),
      excludes: { ...administrator, arches: ["s390", "s390x"] },
    }),
    // On these machines the flags are the second argument.
    allow("clone", {
      ...argument(1, "SCMP_CMP_MASKED_EQ", cloneNamespaces),
      includes: { arches: ["s390", "s390x"] },
      excludes: administrator,
    }),
    // Its flags are behind a pointer. It fails as if the kernel did not know it, so that libraries use clone instead.
    { names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: ENOSYS, excludes: administrator },
  ];
}

let built: DockerSeccomp | undefined;

/** Made at the first use; afterwards always the same object. */
export function defaultSeccompProfile(): DockerSeccomp {
  return (built ??= {
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: 1,
    archMap: [
      { architecture: "SCMP_ARCH_X86_64", subArchitectures: ["SCMP_ARCH_X86", "SCMP_ARCH_X32"] },
      { architecture: "SCMP_ARCH_AARCH64", subArchitectures: ["SCMP_ARCH_ARM"] },
    ],
    syscalls: rules(),
  });
}
