/* check THRESHOLD: reads lines "NAME VALUE" from standard input and prints those above the threshold, each with the mean
   of all. What a check of Nagios, Sensu or Monit would be, written as cheaply as one can be. */
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    static struct { char name[64]; double value; } over[1024];
    if (argc != 2) return 2;
    double threshold = atof(argv[1]), sum = 0, value;
    char name[64];
    int count = 0, found = 0;
    while (scanf("%63s %lf", name, &value) == 2) {
        sum += value;
        count++;
        if (value > threshold && found < 1024) {
            snprintf(over[found].name, sizeof name, "%s", name);
            over[found++].value = value;
        }
    }
    for (int i = 0; i < found; i++) printf("%s %.17g %.17g\n", over[i].name, over[i].value, sum / count);
    return found ? 1 : 0;
}
