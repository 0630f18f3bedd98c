#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>

bool status_set(Status *st, StatusCode code, const char *fmt, ...)
{
    va_list ap;

    st->code = code;
    va_start(ap, fmt);
    vsnprintf(st->text, sizeof st->text, fmt, ap);
    va_end(ap);
    for (char *p = st->text; *p; p++) /* a file's name may hold anything; the message stays one line */
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?';
    return false;
}
