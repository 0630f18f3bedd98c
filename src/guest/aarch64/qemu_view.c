/* How QEMU 8.1 and later make the accesses of instructions, as its plugins see it: found by watching them with its execlog. */
#include "guest/aarch64/qemu_view.h"

#include <string.h>

/* LD1 to ST4 of multiple structures: by opcode, the registers that elements are taken from in turn; 0: not allocated. */
static const uint8_t structure[16] = {[0x0] = 4, [0x2] = 1, [0x4] = 3, [0x6] = 1, [0x7] = 1, [0x8] = 2, [0xa] = 1};

GuestQemuView a64_qemu_view(const uint8_t *code)
{
    uint32_t w;

    memcpy(&w, code, sizeof w);
    if ((w & 0x3c000000) == 0x28000000) /* pairs of general registers */
        return (GuestQemuView){.pair = true};
    if ((w & 0xfff80000) == 0xd5080000) /* DC, IC: also DC ZVA */
        return (GuestQemuView){.none = true};
    if ((w & 0xbfbf0000) == 0x0c000000 || (w & 0xbfa00000) == 0x0c800000) {
        unsigned in_turn = structure[w >> 12 & 15], piece = in_turn == 1 ? 8 : 1u << (w >> 10 & 3);
        return (GuestQemuView){.piece = in_turn ? (uint8_t)piece : 0, .pieces = (uint8_t)((w >> 30 & 1 ? 16 : 8) / piece)};
    }
    return (GuestQemuView){0};
}
