/* The words for libvirt's numbers. */
#include "runtime/virt/internal.h"

#define WORD(table, index)                                                                     \
    ((index) >= 0 && (size_t)(index) < sizeof(table) / sizeof *(table) &&                      \
             (table)[index] != NULL                                                            \
         ? (table)[index]                                                                      \
         : "unknown")

const char *state_name(int state)
{
    static const char *const names[] = {
        [VIR_DOMAIN_NOSTATE] = "unknown",   [VIR_DOMAIN_RUNNING] = "running",
        [VIR_DOMAIN_BLOCKED] = "running",   [VIR_DOMAIN_PAUSED] = "paused",
        [VIR_DOMAIN_SHUTDOWN] = "shutdown", [VIR_DOMAIN_SHUTOFF] = "shutoff",
        [VIR_DOMAIN_CRASHED] = "crashed",   [VIR_DOMAIN_PMSUSPENDED] = "pmsuspended",
    };

    return WORD(names, state);
}

static const char *const running_reasons[] = {
    [VIR_DOMAIN_RUNNING_BOOTED] = "booted",
    [VIR_DOMAIN_RUNNING_MIGRATED] = "migrated",
    [VIR_DOMAIN_RUNNING_RESTORED] = "restored",
    [VIR_DOMAIN_RUNNING_FROM_SNAPSHOT] = "from snapshot",
    [VIR_DOMAIN_RUNNING_UNPAUSED] = "unpaused",
    [VIR_DOMAIN_RUNNING_MIGRATION_CANCELED] = "migration canceled",
    [VIR_DOMAIN_RUNNING_SAVE_CANCELED] = "save canceled",
    [VIR_DOMAIN_RUNNING_WAKEUP] = "wakeup",
    [VIR_DOMAIN_RUNNING_CRASHED] = "crashed",
    [VIR_DOMAIN_RUNNING_POSTCOPY] = "postcopy",
};

static const char *const paused_reasons[] = {
    [VIR_DOMAIN_PAUSED_USER] = "user",
    [VIR_DOMAIN_PAUSED_MIGRATION] = "migration",
    [VIR_DOMAIN_PAUSED_SAVE] = "save",
    [VIR_DOMAIN_PAUSED_DUMP] = "dump",
    [VIR_DOMAIN_PAUSED_IOERROR] = "io error",
    [VIR_DOMAIN_PAUSED_WATCHDOG] = "watchdog",
    [VIR_DOMAIN_PAUSED_FROM_SNAPSHOT] = "from snapshot",
    [VIR_DOMAIN_PAUSED_SHUTTING_DOWN] = "shutting down",
    [VIR_DOMAIN_PAUSED_SNAPSHOT] = "snapshot",
    [VIR_DOMAIN_PAUSED_CRASHED] = "crashed",
    [VIR_DOMAIN_PAUSED_STARTING_UP] = "starting up",
    [VIR_DOMAIN_PAUSED_POSTCOPY] = "postcopy",
    [VIR_DOMAIN_PAUSED_POSTCOPY_FAILED] = "postcopy failed",
};

static const char *const shutoff_reasons[] = {
    [VIR_DOMAIN_SHUTOFF_SHUTDOWN] = "shutdown",
    [VIR_DOMAIN_SHUTOFF_DESTROYED] = "destroyed",
    [VIR_DOMAIN_SHUTOFF_CRASHED] = "crashed",
    [VIR_DOMAIN_SHUTOFF_MIGRATED] = "migrated",
    [VIR_DOMAIN_SHUTOFF_SAVED] = "saved",
    [VIR_DOMAIN_SHUTOFF_FAILED] = "failed",
    [VIR_DOMAIN_SHUTOFF_FROM_SNAPSHOT] = "from snapshot",
    [VIR_DOMAIN_SHUTOFF_DAEMON] = "daemon",
};

const char *state_reason(int state, int reason)
{
    static const char *const crashed[] = { [VIR_DOMAIN_CRASHED_PANICKED] = "panicked" };
    static const char *const shutdown[] = { [VIR_DOMAIN_SHUTDOWN_USER] = "user" };

    switch (state) {
    case VIR_DOMAIN_RUNNING:
        return WORD(running_reasons, reason);
    case VIR_DOMAIN_PAUSED:
        return WORD(paused_reasons, reason);
    case VIR_DOMAIN_SHUTDOWN:
        return WORD(shutdown, reason);
    case VIR_DOMAIN_SHUTOFF:
        return WORD(shutoff_reasons, reason);
    case VIR_DOMAIN_CRASHED:
        return WORD(crashed, reason);
    default:
        return "unknown";
    }
}

const char *event_name(int event)
{
    static const char *const names[] = {
        [VIR_DOMAIN_EVENT_DEFINED] = "defined",
        [VIR_DOMAIN_EVENT_UNDEFINED] = "undefined",
        [VIR_DOMAIN_EVENT_STARTED] = "started",
        [VIR_DOMAIN_EVENT_SUSPENDED] = "suspended",
        [VIR_DOMAIN_EVENT_RESUMED] = "resumed",
        [VIR_DOMAIN_EVENT_STOPPED] = "stopped",
        [VIR_DOMAIN_EVENT_SHUTDOWN] = "shutdown",
        [VIR_DOMAIN_EVENT_PMSUSPENDED] = "pmsuspended",
        [VIR_DOMAIN_EVENT_CRASHED] = "crashed",
    };

    return WORD(names, event);
}

static const char *const started_details[] = {
    [VIR_DOMAIN_EVENT_STARTED_BOOTED] = "booted",
    [VIR_DOMAIN_EVENT_STARTED_MIGRATED] = "migrated",
    [VIR_DOMAIN_EVENT_STARTED_RESTORED] = "restored",
    [VIR_DOMAIN_EVENT_STARTED_FROM_SNAPSHOT] = "from snapshot",
    [VIR_DOMAIN_EVENT_STARTED_WAKEUP] = "wakeup",
};

static const char *const suspended_details[] = {
    [VIR_DOMAIN_EVENT_SUSPENDED_PAUSED] = "paused",
    [VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED] = "migrated",
    [VIR_DOMAIN_EVENT_SUSPENDED_IOERROR] = "io error",
    [VIR_DOMAIN_EVENT_SUSPENDED_WATCHDOG] = "watchdog",
    [VIR_DOMAIN_EVENT_SUSPENDED_RESTORED] = "restored",
    [VIR_DOMAIN_EVENT_SUSPENDED_FROM_SNAPSHOT] = "from snapshot",
    [VIR_DOMAIN_EVENT_SUSPENDED_API_ERROR] = "api error",
    [VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY] = "postcopy",
    [VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY_FAILED] = "postcopy failed",
};

static const char *const resumed_details[] = {
    [VIR_DOMAIN_EVENT_RESUMED_UNPAUSED] = "unpaused",
    [VIR_DOMAIN_EVENT_RESUMED_MIGRATED] = "migrated",
    [VIR_DOMAIN_EVENT_RESUMED_FROM_SNAPSHOT] = "from snapshot",
    [VIR_DOMAIN_EVENT_RESUMED_POSTCOPY] = "postcopy",
    [VIR_DOMAIN_EVENT_RESUMED_POSTCOPY_FAILED] = "postcopy failed",
};

static const char *const stopped_details[] = {
    [VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN] = "shutdown",
    [VIR_DOMAIN_EVENT_STOPPED_DESTROYED] = "destroyed",
    [VIR_DOMAIN_EVENT_STOPPED_CRASHED] = "crashed",
    [VIR_DOMAIN_EVENT_STOPPED_MIGRATED] = "migrated",
    [VIR_DOMAIN_EVENT_STOPPED_SAVED] = "saved",
    [VIR_DOMAIN_EVENT_STOPPED_FAILED] = "failed",
    [VIR_DOMAIN_EVENT_STOPPED_FROM_SNAPSHOT] = "from snapshot",
};

const char *event_reason(int event, int detail)
{
    static const char *const defined[] = {
        [VIR_DOMAIN_EVENT_DEFINED_ADDED] = "added",
        [VIR_DOMAIN_EVENT_DEFINED_UPDATED] = "updated",
        [VIR_DOMAIN_EVENT_DEFINED_RENAMED] = "renamed",
        [VIR_DOMAIN_EVENT_DEFINED_FROM_SNAPSHOT] = "from snapshot",
    };
    static const char *const undefined[] = {
        [VIR_DOMAIN_EVENT_UNDEFINED_REMOVED] = "removed",
        [VIR_DOMAIN_EVENT_UNDEFINED_RENAMED] = "renamed",
    };
    static const char *const shutdown[] = {
        [VIR_DOMAIN_EVENT_SHUTDOWN_FINISHED] = "finished",
        [VIR_DOMAIN_EVENT_SHUTDOWN_GUEST] = "guest",
        [VIR_DOMAIN_EVENT_SHUTDOWN_HOST] = "host",
    };
    static const char *const crashed[] = {
        [VIR_DOMAIN_EVENT_CRASHED_PANICKED] = "panicked",
        [VIR_DOMAIN_EVENT_CRASHED_CRASHLOADED] = "crashloaded",
    };

    switch (event) {
    case VIR_DOMAIN_EVENT_DEFINED:
        return WORD(defined, detail);
    case VIR_DOMAIN_EVENT_UNDEFINED:
        return WORD(undefined, detail);
    case VIR_DOMAIN_EVENT_STARTED:
        return WORD(started_details, detail);
    case VIR_DOMAIN_EVENT_SUSPENDED:
        return WORD(suspended_details, detail);
    case VIR_DOMAIN_EVENT_RESUMED:
        return WORD(resumed_details, detail);
    case VIR_DOMAIN_EVENT_STOPPED:
        return WORD(stopped_details, detail);
    case VIR_DOMAIN_EVENT_SHUTDOWN:
        return WORD(shutdown, detail);
    case VIR_DOMAIN_EVENT_CRASHED:
        return WORD(crashed, detail);
    default:
        return "unknown";
    }
}
