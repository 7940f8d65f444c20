#include <string.h>

#include "runtime/app/guardian.h"
#include "runtime/app/host.h"
#include "runtime/app/own.h"

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--guardian") == 0)
        return guardian_main();
    if (argc > 2 && strcmp(argv[1], "--own") == 0) {
        int code = own_detach(argv[2]);

        if (code >= 0)
            return code;
    }
    return host_main(argc, argv);
}
