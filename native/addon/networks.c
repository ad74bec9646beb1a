/* Network namespaces and netlink sockets. */
#include "addon.h"
#include "threads.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>

/* The kernel answers at once. A peer that does not answer is a bug, and it must not stop the engine. */
#define ANSWER_WAIT_SECONDS 5
#define RECEIVE_BUFFER_BYTES (4 * 1024 * 1024)

static int own_namespace(void) {
  return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

/* A descriptor, or minus errno. */
static void *make_namespace(void *argument) {
  int *result = argument;
  *result = unshare(CLONE_NEWNET) < 0 ? -errno : own_namespace();
  if (*result == -1) *result = -errno;
  return NULL;
}

/* createNetworkNamespace(): a separate thread enters the new namespace, so the calling thread stays in its own. */
static napi_value method_createNetworkNamespace(napi_env env, napi_callback_info info) {
  (void)info;
  pthread_t thread;
  int result = -EAGAIN;
  int error = start_thread(&thread, false, make_namespace, &result);
  if (error) return give(env, -error);
  pthread_join(thread, NULL);
  return give(env, result);
}

/* Moves this thread into a namespace. Returns a descriptor of its previous namespace, or minus errno. */
static int enter(int namespace_fd) {
  /* Checked before this function opens a descriptor: otherwise a number that is closed already could become the number of the descriptor
   * opened here. */
  if (fcntl(namespace_fd, F_GETFD) < 0) return -errno;
  int home = own_namespace();
  if (home < 0) return -errno;
  if (setns(namespace_fd, CLONE_NEWNET) < 0) {
    int error = errno;
    close(home);
    return -error;
  }
  return home;
}

/* A thread that stays in a foreign namespace would open sockets there. It is less bad to end the process. */
static void leave(int home) {
  if (setns(home, CLONE_NEWNET) < 0) abort();
  close(home);
}

static napi_value method_enterNetworkNamespace(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  int fd;
  CHECK(get_int(env, argv[0], &fd));
  return give(env, enter(fd));
}

static napi_value method_leaveNetworkNamespace(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  int home;
  CHECK(get_int(env, argv[0], &home));
  leave(home);
  return give(env, 0);
}

static int make_netlink(int protocol) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
  if (fd < 0) return -errno;
  struct timeval wait = {.tv_sec = ANSWER_WAIT_SECONDS};
  int bytes = RECEIVE_BUFFER_BYTES, on = 1;
  struct sockaddr_nl address = {.nl_family = AF_NETLINK};
  if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) < 0 ||
      bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
    int error = errno;
    close(fd);
    return -error;
  }
  /* Room for the answers to a large batch. Without the privilege, the ordinary limit stays. */
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) < 0) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
  if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) < 0) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
  /* Errors with a text, and without a copy of the whole request. Old kernels do not have this option. */
  setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  return fd;
}

/* openNetlink(protocol, namespaceFd or -1) */
static napi_value method_openNetlink(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  int protocol, namespace_fd;
  CHECK(get_int(env, argv[0], &protocol));
  CHECK(get_int(env, argv[1], &namespace_fd));
  if (namespace_fd < 0) return give(env, make_netlink(protocol));
  int home = enter(namespace_fd);
  if (home < 0) return give(env, home);
  int fd = make_netlink(protocol);
  leave(home);
  return give(env, fd);
}

/*
 * openNetlinkMonitor(protocol, groups, firstType, secondType): a socket that does not block, and receives the messages of these two types alone
 * from the multicast groups (a mask). The kernel filters them, so no other message wakes the reader.
 */
static napi_value method_openNetlinkMonitor(napi_env env, napi_callback_info info) {
  ARGUMENTS(4);
  int protocol;
  uint32_t groups, first, second;
  CHECK(get_int(env, argv[0], &protocol));
  CHECK(get_flags(env, argv[1], &groups));
  CHECK(get_flags(env, argv[2], &first));
  CHECK(get_flags(env, argv[3], &second));
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
  if (fd < 0) return give(env, -errno);
  /* The filter loads in network order, and the header is in the machine's order. */
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_H | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_type)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons((uint16_t)first), 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htons((uint16_t)second), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
      BPF_STMT(BPF_RET | BPF_K, 0),
  };
  struct sock_fprog filter = {.len = sizeof code / sizeof *code, .filter = code};
  struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = groups};
  int bytes = RECEIVE_BUFFER_BYTES, on = 1;
  /* A full queue must not end the reader. */
  if (setsockopt(fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, &on, sizeof on) < 0 ||
      setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) < 0 ||
      bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
    int error = errno;
    close(fd);
    return give(env, -error);
  }
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
  return give(env, fd);
}

/* netlinkSend(socket, data): sends to the kernel. */
static napi_value method_netlinkSend(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  int fd;
  byte_view data;
  CHECK(get_int(env, argv[0], &fd));
  CHECK(get_bytes(env, argv[1], &data));
  struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
  int64_t sent = RETRY(sendto(fd, data.data, data.length, 0, (struct sockaddr *)&kernel, sizeof kernel));
  if (sent >= 0 && (size_t)sent != data.length) return give(env, -EMSGSIZE);
  return give_result(env, sent);
}

/*
 * netlinkReceive(socket, buffer, wait): returns the bytes of the next whole datagram. When the datagram is longer than the buffer, it returns
 * the length and the datagram stays in the queue: call again with a larger buffer. Datagrams that do not come from the kernel are dropped.
 */
static napi_value method_netlinkReceive(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  int fd, wait;
  byte_view buffer;
  CHECK(get_int(env, argv[0], &fd));
  CHECK(get_bytes(env, argv[1], &buffer));
  CHECK(get_int(env, argv[2], &wait));
  int flags = wait ? 0 : MSG_DONTWAIT;
  for (;;) {
    int64_t size = RETRY(recv(fd, NULL, 0, MSG_PEEK | MSG_TRUNC | flags));
    if (size < 0 || (size_t)size > buffer.length) return give_result(env, size);
    struct sockaddr_nl sender = {0};
    struct iovec part = {.iov_base = buffer.data, .iov_len = buffer.length};
    struct msghdr message = {.msg_name = &sender, .msg_namelen = sizeof sender, .msg_iov = &part, .msg_iovlen = 1};
    int64_t received = RETRY(recvmsg(fd, &message, MSG_DONTWAIT));
    if (received < 0) return give_result(env, received);
    if (message.msg_flags & MSG_TRUNC) return give(env, -EMSGSIZE);
    if (sender.nl_pid == 0) return give(env, received);
  }
}

const struct method network_methods[] = {
    {"createNetworkNamespace", method_createNetworkNamespace},
    {"enterNetworkNamespace", method_enterNetworkNamespace},
    {"leaveNetworkNamespace", method_leaveNetworkNamespace},
    {"openNetlink", method_openNetlink},
    {"openNetlinkMonitor", method_openNetlinkMonitor},
    {"netlinkSend", method_netlinkSend},
    {"netlinkReceive", method_netlinkReceive},
    {NULL, NULL},
};
