#define _GNU_SOURCE
#include "message.h"

#include <string.h>
#include <sys/socket.h>

#define FDS_LIMIT 128

ssize_t send_with_fds(int socket, const void *data, size_t size, const int *fds, unsigned count, int flags) {
  union {
    struct cmsghdr align;
    char room[CMSG_SPACE(LETTER_FDS * sizeof(int))];
  } control;
  struct iovec from = {(void *)(uintptr_t)data, size};
  struct msghdr message = {.msg_iov = &from, .msg_iovlen = 1};
  if (count > LETTER_FDS) {
    errno = EINVAL;
    return -1;
  }
  if (count) {
    memset(&control, 0, sizeof control);
    message.msg_control = &control;
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(header), fds, count * sizeof(int));
  }
  return sendmsg(socket, &message, MSG_NOSIGNAL | flags);
}

int send_letter(int socket, char letter, const int *fds, unsigned count) {
  return send_with_fds(socket, &letter, 1, fds, count, 0) == 1 ? 0 : -1;
}

ssize_t receive_with_fds(int socket, void *data, size_t size, int *fds, unsigned *count) {
  union {
    struct cmsghdr align;
    char room[CMSG_SPACE(FDS_LIMIT * sizeof(int))];
  } control;
  struct iovec into = {data, size};
  struct msghdr message = {.msg_iov = &into, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  unsigned room = *count;
  *count = 0;
  ssize_t got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  if (got < 0)
    return -1;
  for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
      continue;
    size_t number = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < number; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      if (*count < room)
        fds[(*count)++] = fd;
      else
        close(fd);
    }
  }
  return got;
}

int receive_letter(int socket, int *fds, unsigned *count) {
  char letter = 0;
  ssize_t got;
  unsigned room = *count;
  do {
    *count = room;
    got = receive_with_fds(socket, &letter, 1, fds, count);
  } while (got < 0 && errno == EINTR);
  return got < 0 ? -1 : got == 0 ? 0 : letter;
}
