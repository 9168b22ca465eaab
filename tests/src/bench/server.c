/* server SOCKET [PIDFILE]: answers each connection to a Unix socket with its process number.
   With PIDFILE it detaches itself first, as daemons do, and its parent writes the file. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (argc < 2 || strlen(argv[1]) >= sizeof address.sun_path) return 2;
    if (argc > 2) {
        pid_t child = fork();
        if (child < 0) return 1;
        if (child > 0) {
            FILE *file = fopen(argv[2], "w");
            return !file || fprintf(file, "%d\n", (int)child) < 0 || fclose(file) != 0;
        }
        setsid();
    }
    strcpy(address.sun_path, argv[1]);
    unlink(argv[1]);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 16)) {
        perror(argv[1]);
        return 1;
    }
    char answer[32];
    int length = snprintf(answer, sizeof answer, "%d\n", (int)getpid());
    for (;;) {
        int peer = accept(listener, NULL, NULL);
        if (peer < 0) continue;
        if (send(peer, answer, (size_t)length, MSG_NOSIGNAL) != length) perror("send");
        close(peer);
    }
}
