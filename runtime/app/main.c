#include <string.h>

#include "runtime/app/guardian.h"
#include "runtime/app/host.h"

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--guardian") == 0)
        return guardian_main();
    return host_main(argc, argv);
}
