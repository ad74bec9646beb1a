/*
 * Asks the name server of a container about a name, again and again, each time from a new port as resolver libraries do.
 *
 * ask-names NAME QUESTIONS CLIENTS: in the container's network namespace. Each of CLIENTS sends its next question when its answer has come.
 * Prints the milliseconds of the whole, and those within which 99 of 100 answers came.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_CLIENTS 64
#define MAX_QUESTIONS 1000000
#define SERVER "127.0.0.11"
#define PORT 53
#define LOST_MS 2000

static unsigned char question[300];
static size_t question_size;
static struct pollfd polls[MAX_CLIENTS];
static double sent_ms[MAX_CLIENTS];

static double now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static _Noreturn void die(const char *what) {
  perror(what);
  exit(1);
}

/* One label, type A, class IN. */
static void make_question(const char *name) {
  size_t length = strlen(name);
  if (length == 0 || length > 63) exit(2);
  static const unsigned char header[12] = {0x12, 0x34, 1, 0, 0, 1};
  static const unsigned char end[5] = {0, 0, 1, 0, 1};
  memcpy(question, header, sizeof header);
  question[12] = (unsigned char)length;
  memcpy(question + 13, name, length);
  memcpy(question + 13 + length, end, sizeof end);
  question_size = 13 + length + sizeof end;
}

static void ask(int client) {
  struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr.s_addr = inet_addr(SERVER)};
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&server, sizeof server) < 0) die("socket");
  polls[client] = (struct pollfd){.fd = fd, .events = POLLIN};
  sent_ms[client] = now_ms();
  if (send(fd, question, question_size, 0) < 0) die("send");
}

static int compare(const void *one, const void *other) {
  double a = *(const double *)one, b = *(const double *)other;
  return (a > b) - (a < b);
}

int main(int argc, char **argv) {
  int count = argc == 4 ? atoi(argv[2]) : 0, clients = argc == 4 ? atoi(argv[3]) : 0;
  if (count < 1 || count > MAX_QUESTIONS || clients < 1 || clients > MAX_CLIENTS) {
    fprintf(stderr, "usage: ask-names NAME QUESTIONS CLIENTS\n");
    return 2;
  }
  make_question(argv[1]);
  double *times = calloc((size_t)count, sizeof *times);
  if (times == NULL) die("memory");
  double start = now_ms();
  for (int client = 0; client < clients; client++) ask(client);
  for (int done = 0; done < count;) {
    if (poll(polls, (nfds_t)clients, LOST_MS) <= 0) {
      fprintf(stderr, "ask-names: no answer within %d ms\n", LOST_MS);
      return 1;
    }
    for (int client = 0; client < clients && done < count; client++) {
      if (polls[client].revents == 0) continue;
      unsigned char answer[512];
      ssize_t size = recv(polls[client].fd, answer, sizeof answer, 0);
      /* An answer without error and with a record. */
      if (size < 12 || (answer[3] & 15) != 0 || answer[7] == 0) {
        fprintf(stderr, "ask-names: the name was not found\n");
        return 1;
      }
      times[done++] = now_ms() - sent_ms[client];
      close(polls[client].fd);
      ask(client);
    }
  }
  double whole = now_ms() - start;
  qsort(times, (size_t)count, sizeof *times, compare);
  printf("%.3f %.3f\n", whole, times[count * 99 / 100]);
  return 0;
}
