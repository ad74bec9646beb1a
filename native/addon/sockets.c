/* Unix sockets, and descriptors sent through them. */
#include "addon.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/* Most descriptors that the kernel carries in one message (SCM_MAX_FD). */
#define MAX_FDS 253

/* socketpair(type, nonBlocking, out: Int32Array(2)) */
static napi_value method_socketpair(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  int type, non_blocking;
  byte_view out;
  CHECK(get_int(env, argv[0], &type));
  CHECK(get_int(env, argv[1], &non_blocking));
  CHECK(get_bytes(env, argv[2], &out));
  if (out.length < 2 * sizeof(int)) return give(env, -EINVAL);
  type |= SOCK_CLOEXEC | (non_blocking ? SOCK_NONBLOCK : 0);
  return give_result(env, socketpair(AF_UNIX, type, 0, (int *)(void *)out.data));
}

static napi_value close_and_give(napi_env env, int fd, int error) {
  close(fd);
  return give(env, -error);
}

/*
 * connectUnix(dirFd, name): opens the socket file by name and connects through the descriptor's number, so the path may have any length. The
 * socket does not block: when a listener accepts nothing and its queue is full, the result is EAGAIN and not an endless wait.
 */
static napi_value method_connectUnix(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  int directory;
  path_buffer name;
  CHECK(get_int(env, argv[0], &directory));
  CHECK(get_path(env, argv[1], &name));
  int target = (int)RETRY(openat(directory, name.bytes, O_PATH | O_CLOEXEC));
  if (target < 0) return give(env, -errno);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return close_and_give(env, target, errno);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d", target);
  int64_t result = RETRY(connect(fd, (struct sockaddr *)&address, sizeof address));
  int error = errno;
  close(target);
  if (result < 0) return close_and_give(env, fd, error);
  return give(env, fd);
}

/* listenUnix(dirFd, name, mode, backlog): the mode is set before the socket listens, so nobody can connect earlier. */
static napi_value method_listenUnix(napi_env env, napi_callback_info info) {
  ARGUMENTS(4);
  int directory, backlog;
  path_buffer name;
  uint32_t mode;
  CHECK(get_int(env, argv[0], &directory));
  CHECK(get_path(env, argv[1], &name));
  CHECK(get_flags(env, argv[2], &mode));
  CHECK(get_int(env, argv[3], &backlog));
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int length = directory == AT_FDCWD || name.bytes[0] == '/'
                   ? snprintf(address.sun_path, sizeof address.sun_path, "%s", name.bytes)
                   : snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", directory, name.bytes);
  if ((size_t)length >= sizeof address.sun_path) return give(env, -ENAMETOOLONG);
  if (name.length == 0) return give(env, -ENOENT);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return give(env, -errno);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) return close_and_give(env, fd, errno);
  if (chmod(address.sun_path, mode) < 0 || listen(fd, backlog) < 0) {
    int error = errno;
    unlink(address.sun_path);
    return close_and_give(env, fd, error);
  }
  return give(env, fd);
}

/* sendMessage(socket, data, fds: Int32Array): returns the number of sent bytes; never waits. The descriptors are sent with the first byte. */
static napi_value method_sendMessage(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  int fd;
  byte_view data, fds;
  CHECK(get_int(env, argv[0], &fd));
  CHECK(get_bytes(env, argv[1], &data));
  CHECK(get_bytes(env, argv[2], &fds));
  if (fds.length > MAX_FDS * sizeof(int)) return give(env, -EINVAL);
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(MAX_FDS * sizeof(int))];
  } control;
  struct iovec part = {.iov_base = data.data, .iov_len = data.length};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (fds.length > 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = &control;
    message.msg_controllen = CMSG_SPACE(fds.length);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.length);
    memcpy(CMSG_DATA(header), fds.data, fds.length);
  }
  return give_result(env, RETRY(sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT)));
}

/* sendDatagram(path, data): one datagram to a unix socket; a path that begins with '@' is an abstract name. Never waits. */
static napi_value method_sendDatagram(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  path_buffer path;
  byte_view data;
  CHECK(get_path(env, argv[0], &path));
  CHECK(get_bytes(env, argv[1], &data));
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (path.length == 0) return give(env, -ENOENT);
  if (path.length >= sizeof address.sun_path) return give(env, -ENAMETOOLONG);
  memcpy(address.sun_path, path.bytes, path.length);
  if (path.bytes[0] == '@') address.sun_path[0] = 0;
  socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.length + (path.bytes[0] == '@' ? 0 : 1));
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return give(env, -errno);
  int64_t sent = RETRY(sendto(fd, data.data, data.length, MSG_NOSIGNAL, (struct sockaddr *)&address, length));
  int error = errno;
  close(fd);
  return give(env, sent < 0 ? -error : sent);
}

/*
 * receiveMessage(socket, buffer, fds: Int32Array(254)): returns the number of received bytes. fds[0] is the number of received descriptors, and
 * they follow it. A message that was cut fails and its descriptors are closed: the caller never receives half a message.
 */
static napi_value method_receiveMessage(napi_env env, napi_callback_info info) {
  ARGUMENTS(3);
  int fd;
  byte_view buffer, out;
  CHECK(get_int(env, argv[0], &fd));
  CHECK(get_bytes(env, argv[1], &buffer));
  CHECK(get_bytes(env, argv[2], &out));
  if (out.length < (MAX_FDS + 1) * sizeof(int)) return give(env, -EINVAL);
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(MAX_FDS * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
  } control;
  struct iovec part = {.iov_base = buffer.data, .iov_len = buffer.length};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  int64_t received = RETRY(recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
  if (received < 0) return give(env, -errno);
  int *list = (int *)(void *)out.data;
  int count = 0;
  for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header != NULL; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    size_t size = header->cmsg_len - CMSG_LEN(0);
    memcpy(list + 1 + count, CMSG_DATA(header), size);
    count += (int)(size / sizeof(int));
  }
  if (message.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) {
    for (int index = 1; index <= count; index++) close(list[index]);
    return give(env, message.msg_flags & MSG_CTRUNC ? -EMFILE : -EMSGSIZE);
  }
  list[0] = count;
  return give(env, received);
}

/* peerCredentials(socket, out: Int32Array(3)): pid, uid, gid */
static napi_value method_peerCredentials(napi_env env, napi_callback_info info) {
  ARGUMENTS(2);
  int fd;
  byte_view out;
  CHECK(get_int(env, argv[0], &fd));
  CHECK(get_bytes(env, argv[1], &out));
  struct ucred credentials;
  socklen_t length = sizeof credentials;
  if (out.length < 3 * sizeof(int)) return give(env, -EINVAL);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) < 0) return give(env, -errno);
  uint32_t values[3] = {(uint32_t)credentials.pid, credentials.uid, credentials.gid};
  memcpy(out.data, values, sizeof values);
  return give(env, 0);
}

/* unsentBytes(socket): SIOCOUTQ. For a unix socket these are the bytes that the peer has not read yet, and what the kernel needs to hold them */
static napi_value method_unsentBytes(napi_env env, napi_callback_info info) {
  ARGUMENTS(1);
  int fd, bytes = 0;
  CHECK(get_int(env, argv[0], &fd));
  return give(env, ioctl(fd, SIOCOUTQ, &bytes) < 0 ? -errno : bytes);
}

const struct method socket_methods[] = {
    {"socketpair", method_socketpair},
    {"connectUnix", method_connectUnix},
    {"listenUnix", method_listenUnix},
    {"sendMessage", method_sendMessage},
    {"sendDatagram", method_sendDatagram},
    {"receiveMessage", method_receiveMessage},
    {"peerCredentials", method_peerCredentials},
    {"unsentBytes", method_unsentBytes},
    {NULL, NULL},
};
