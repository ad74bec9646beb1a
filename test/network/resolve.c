/* Asks as programs do: resolve NAME prints the addresses of a name, resolve ADDRESS its name; one a line. On failure the library's words, and 1. */
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  char text[256];
  struct sockaddr_in reverse = {.sin_family = AF_INET};
  int error;
  if (inet_pton(AF_INET, argv[1], &reverse.sin_addr) == 1) {
    error = getnameinfo((struct sockaddr *)&reverse, sizeof reverse, text, sizeof text, NULL, 0, NI_NAMEREQD);
    if (error == 0) puts(text);
  } else {
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list = NULL;
    error = getaddrinfo(argv[1], NULL, &hints, &list);
    for (struct addrinfo *entry = list; error == 0 && entry != NULL; entry = entry->ai_next)
      if (getnameinfo(entry->ai_addr, entry->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST) == 0) puts(text);
  }
  if (error == 0) return 0;
  puts(gai_strerror(error));
  return 1;
}
