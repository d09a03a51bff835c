/* Starts, waits, and prints its resident memory in the format of the other
 * probes. Does not allocate. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int main(void) {
    static const char key[] = "\nRss:";
    char text[4096], line[64] = "started ";
    size_t length = strlen(line);
    usleep(300 * 1000);
    int file = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
    ssize_t bytes = read(file, text, sizeof text - 1);
    if (bytes < 0) return 1;
    text[bytes] = '\0';
    const char *digit = strstr(text, key);
    if (!digit) return 1;
    digit += strlen(key);
    digit += strspn(digit, " ");
    while (*digit >= '0' && *digit <= '9' && length < sizeof line - 1) line[length++] = *digit++;
    line[length++] = '\n';
    return write(1, line, length) != (ssize_t)length;
}
