/* A program of a user: the installed headers and the installed library fit together. */
#include <clattn/clattn.h>

#include <stdio.h>
#include <string.h>

int main(void)
{
    size_t count = 0;
    if (strcmp(clattn_version(), CLATTN_VERSION) != 0) {
        fprintf(stderr, "headers %s, library %s\n", CLATTN_VERSION, clattn_version());
        return 1;
    }
    if (clattn_device_list(NULL, 0, &count) != CLATTN_OK) {
        fprintf(stderr, "%s\n", clattn_last_error());
        return 1;
    }
    printf("clattn %s, %zu devices\n", clattn_version(), count);
    return 0;
}
