/* The kernel's clock as a test wants it. As a library that is loaded before libc's, adjtimex(2) answers what the file
   $SALVE_TEST_CLOCK says: state, status, offset in microseconds. As a program, it says what the kernel itself answers. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>

#ifdef PROGRAM
int main(void) {
    struct timex answer = {0};
    int state = adjtimex(&answer);
    return printf("%d %d %ld\n", state, answer.status, answer.offset) < 0;
}
#else
int adjtimex(struct timex *answer) {
    const char *path = getenv("SALVE_TEST_CLOCK");
    FILE *file = path ? fopen(path, "r") : NULL;
    int state;
    memset(answer, 0, sizeof *answer);
    if (file == NULL || fscanf(file, "%d %d %ld", &state, &answer->status, &answer->offset) != 3) {
        state = -1;
        errno = EPERM;
    }
    if (file != NULL) fclose(file);
    return state;
}
#endif
