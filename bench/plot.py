"""The ratios as a picture: one line an item, a mark a system, time relative to native code on a logarithmic scale."""
import math
from xml.sax.saxutils import escape

COLOURS = {"qemu": "#c1440e", "cold": "#7aa6c2", "warm": "#1b4965"}
NAMES = {"qemu": "QEMU", "cold": "Dragoman", "warm": "Dragoman, warm cache"}
LEFT, WIDTH, STEP, TOP = 150, 620, 18, 56


def svg(rows, title):
    systems = [s for s in COLOURS if any(r.get(s) for r in rows)]
    ratios = [r[s] / r["native"] for r in rows for s in systems if r.get(s) and r.get("native")]
    lo, hi = math.log10(min([0.5, *ratios])), math.log10(max([10, *ratios]) * 1.1)
    x = lambda v: LEFT + WIDTH * (math.log10(v) - lo) / (hi - lo)
    height = TOP + STEP * len(rows) + 30
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 30}" height="{height}" '
           'font-family="sans-serif" font-size="11">',
           '<rect width="100%" height="100%" fill="white"/>',
           f'<text x="{LEFT}" y="18" font-size="14" font-weight="bold">{escape(title)}</text>']
    for k, s in enumerate(systems):
        cx = LEFT + 6 + 150 * k
        out.append(f'<circle cx="{cx}" cy="34" r="4.5" fill="{COLOURS[s]}"/><text x="{cx + 9}" y="38">{NAMES[s]}</text>')
    for tick in (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500):
        if lo <= math.log10(tick) <= hi:
            bold = ' stroke-width="2"' if tick == 1 else ""
            out.append(f'<line x1="{x(tick):.1f}" y1="{TOP - 8}" x2="{x(tick):.1f}" y2="{height - 24}" stroke="#ccc"{bold}/>')
            out.append(f'<text x="{x(tick):.1f}" y="{height - 10}" text-anchor="middle">{tick:g}</text>')
    for k, r in enumerate(rows):
        y = TOP + STEP * k + 6
        out.append(f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{escape(r["name"])}</text>')
        for s in systems:
            if r.get(s) and r.get("native"):
                v = r[s] / r["native"]
                out.append(f'<circle cx="{x(v):.1f}" cy="{y}" r="4.5" fill="{COLOURS[s]}">'
                           f'<title>{escape(r["name"])}, {NAMES[s]}: {v:.2f} times native</title></circle>')
    out.append("</svg>")
    return "\n".join(out) + "\n"
