#include "base/safe.h"

#include "base/os.h"

/* Labels of the assembly file: ranges and where a fault inside them continues. */
extern const char safe_word_begin[], safe_word_end[], safe_word_fail[];
extern const char safe_cas16_begin[], safe_cas16_end[], safe_cas16_fail[];
extern const char safe_bulk_begin[], safe_bulk_end[], safe_bulk_fail[];

bool safe_fixup(void *uc)
{
    static const struct {
        const char *begin, *end, *fail;
    } range[] = {
        {safe_word_begin, safe_word_end, safe_word_fail},
        {safe_cas16_begin, safe_cas16_end, safe_cas16_fail},
        {safe_bulk_begin, safe_bulk_end, safe_bulk_fail},
    };
    uintptr_t pc = os_uc_pc(uc);

    for (unsigned i = 0; i < sizeof range / sizeof range[0]; i++) {
        if (pc >= (uintptr_t)range[i].begin && pc < (uintptr_t)range[i].end) {
            os_uc_set_pc(uc, (uintptr_t)range[i].fail);
            return true;
        }
    }
    return false;
}
