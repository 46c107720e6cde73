/*
 * limit: what a fan-out costs when nothing but the kernel is paid. One thread, one
 * epoll, one write() for each subscriber and event.
 *
 * It is the floor of `dunlin bench fanout`, and takes connect and presence as
 * disturbances of that. It is not a server: it takes what one read() returns for one
 * whole request or message, looks in messages only for what the load maker puts
 * there, checks no signature, knows a few channels and one subscription of a
 * connection, tells nobody who leaves, and loses what a full socket refuses.
 *
 *   cc -O2 -o limit test/floor/limit/limit.c && ./limit [PORT]     (0: any free port)
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_FD = 1 << 21, TURN = 1024, CHANNELS = 1 << 12, NAME = 64 };

static const char upgrade[] =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
static const char established[] =
    "{\"event\":\"pusher:connection_established\","
    "\"data\":\"{\\\"socket_id\\\":\\\"1.1\\\",\\\"activity_timeout\\\":120}\"}";
static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

struct channel {
  char name[NAME];
  int *subscribers, count, room;
};
static struct channel channels[CHANNELS];

static struct {
  unsigned char upgraded;
  struct channel *channel; /* subscribed to, or 0 */
  int place;               /* in its subscribers */
} clients[MAX_FD];         /* by descriptor */

static char in[1 << 20], out[1 << 20], message[1 << 20];
static const int on = 1;

static void die(const char *what) {
  perror(what);
  exit(1);
}

/* put sends; what the socket does not take is lost, which the load maker counts. */
static void put(int fd, const char *b, size_t n) {
  if (write(fd, b, n) < 0) return;
}

/* frame writes an unmasked text frame (RFC 6455, section 5.2) and returns its length. */
static size_t frame(char *to, const char *payload, size_t n) {
  size_t head = 2;
  to[0] = (char)0x81;
  if (n < 126) {
    to[1] = (char)n;
  } else {
    to[1] = 126;
    to[2] = (char)(n >> 8);
    to[3] = (char)n;
    head = 4;
  }
  memcpy(to + head, payload, n);
  return head + n;
}

static int listen_on(int port) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof a;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 4096)) die("listen");
  getsockname(fd, (struct sockaddr *)&a, &len);
  printf("listening on 127.0.0.1:%d\n", ntohs(a.sin_port));
  fflush(stdout);
  return fd;
}

static void watch(int ep, int fd) {
  struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
  if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e)) die("epoll_ctl");
}

static void take_all(int ep, int listener) {
  int fd;
  while ((fd = accept4(listener, 0, 0, SOCK_NONBLOCK)) >= 0) {
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    clients[fd].upgraded = 0;
    clients[fd].channel = 0;
    watch(ep, fd);
  }
}

/* channel_of finds or makes the channel that a text names behind "channel":" */
static struct channel *channel_of(const char *text) {
  static const char key[] = "\"channel\":\"";
  const char *name = strstr(text, key);
  if (!name) return 0;
  name += sizeof key - 1;
  size_t n = strcspn(name, "\"");
  if (n >= NAME) return 0;
  unsigned at = 0;
  for (size_t i = 0; i < n; i++) at = at * 31 + (unsigned char)name[i];
  for (;; at++) { /* there are far fewer than CHANNELS */
    struct channel *c = channels + at % CHANNELS;
    if (!c->name[0]) memcpy(c->name, name, n);
    if (!strncmp(c->name, name, n) && !c->name[n]) return c;
  }
}

static void add(struct channel *c, int fd) {
  if (c->count == c->room) {
    c->room = c->room ? 2 * c->room : 64;
    if (!(c->subscribers = realloc(c->subscribers, c->room * sizeof *c->subscribers))) die("realloc");
  }
  clients[fd].channel = c;
  clients[fd].place = c->count;
  c->subscribers[c->count++] = fd;
}

static void drop(int fd) {
  struct channel *c = clients[fd].channel;
  if (c) {
    int last = c->subscribers[--c->count];
    c->subscribers[clients[fd].place] = last;
    clients[last].place = clients[fd].place;
  }
  close(fd);
}

/* broadcast is the loop that is measured. */
static void broadcast(const struct channel *c, size_t payload) {
  size_t size = frame(out, message, payload);
  for (int i = 0; i < c->count; i++) put(c->subscribers[i], out, size);
}

/* publish splices the request's data, which it has last, into the message. */
static void publish(const char *request) {
  const char *body = strstr(request, "\r\n\r\n"), *data = body ? strstr(body, "\"data\":") : 0;
  struct channel *c = data ? channel_of(body) : 0;
  if (!c) return;
  int n = snprintf(message, sizeof message, "{\"event\":\"bench\",\"channel\":\"%s\",%s", c->name, data);
  if (n <= 65535) broadcast(c, n);
}

/* subscribe answers. Who joins a presence channel is told how many were there, not
 * who, and then all are told of him: as many messages as a server has to send. */
static void subscribe(int fd, char *text) {
  static const char key[] = "\"channel_data\":";
  struct channel *c = channel_of(text);
  char *data = strstr(text, key), *end = strstr(text, ",\"auth\":");
  if (!c || clients[fd].channel) return;
  int n = snprintf(message, sizeof message,
                   "{\"event\":\"pusher_internal:subscription_succeeded\",\"channel\":\"%s\","
                   "\"data\":\"{\\\"presence\\\":{\\\"count\\\":%d}}\"}",
                   c->name, c->count);
  put(fd, out, frame(out, message, n));
  add(c, fd);
  if (!data || !end) return;
  *end = 0;
  n = snprintf(message, sizeof message, "{\"event\":\"pusher_internal:member_added\",\"channel\":\"%s\",\"data\":%s}", c->name,
               data + sizeof key - 1);
  broadcast(c, n);
}

static void serve(int fd) {
  ssize_t n = read(fd, in, sizeof in - 1);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) {
    drop(fd);
    return;
  }
  in[n] = 0;
  if (clients[fd].upgraded) { /* only subscribes come, masked with zero */
    subscribe(fd, in + ((in[1] & 127) < 126 ? 6 : 8));
  } else if (!strncmp(in, "GET ", 4)) {
    size_t head = sizeof upgrade - 1;
    memcpy(out, upgrade, head);
    put(fd, out, head + frame(out + head, established, sizeof established - 1));
    clients[fd].upgraded = 1;
  } else {
    publish(in);
    put(fd, answer, sizeof answer - 1);
  }
}

int main(int argc, char **argv) {
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  int ep = epoll_create1(0), listener = listen_on(argc > 1 ? atoi(argv[1]) : 0);
  struct epoll_event events[TURN];
  watch(ep, listener);
  for (;;) {
    int n = epoll_wait(ep, events, TURN, -1);
    for (int i = 0; i < n; i++) {
      if (events[i].data.fd == listener) take_all(ep, listener);
      else serve(events[i].data.fd);
    }
  }
}
