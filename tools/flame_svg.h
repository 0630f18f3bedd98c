/*
 * A flame graph as SVG, a frame at a time: names, numbers and a script for browsers, in one file. What shows the picture without the
 * script, shows the whole.
 */
#ifndef TOOLS_FLAME_SVG_H
#define TOOLS_FLAME_SVG_H

#include "dragoman/plugin.h"

#include <stdio.h>
#include <string.h>

#define SVG_WIDTH 1200.0
#define SVG_LEAST 0.3 /* what is narrower cannot be seen */
#define SVG_ROW   17
#define SVG_HEAD  24  /* the line on top */
#define SVG_CHAR  7.0 /* width of a character */

typedef struct SvgFrame {
    const char *name;
    uint64_t fn, all, self, of;
    double x, w;
    uint32_t row;
} SvgFrame;

/* Names come from the guest's files: what XML does not have becomes '?'. */
static inline void svg_escape(char *to, size_t len, const char *from, size_t most)
{
    size_t n = 0;

    for (; *from && most-- && n + 6 < len; from++) {
        const char *as = *from == '<' ? "&lt;" : *from == '&' ? "&amp;" : *from == '>' ? "&gt;" : NULL;
        n += (size_t)(as ? snprintf(to + n, len - n, "%s", as) : snprintf(to + n, len - n, "%c", *from >= ' ' && *from < 127 ? *from : '?'));
    }
    to[n] = 0;
}

static inline void svg_frame(DgHost *h, const SvgFrame *f)
{
    static char text[1024];
    uint32_t hue = (uint32_t)(f->fn * 2654435761u >> 24) % 50, y = SVG_HEAD + f->row * SVG_ROW;
    double room = f->w / SVG_CHAR;

    svg_escape(text, sizeof text, f->name, 400);
    dg->print(h, "<g><title>%s: %llu (%.2f%%), self %llu</title><rect x='%.2f' y='%u' width='%.2f' height='%u' fill='hsl(%u,80%%,60%%)'/>",
              text, (unsigned long long)f->all, 100.0 * (double)f->all / (double)f->of, (unsigned long long)f->self, f->x, y, f->w, SVG_ROW - 1, hue);
    svg_escape(text, sizeof text, f->name, (size_t)room);
    dg->print(h, "<text x='%.2f' y='%u'>%s</text></g>\n", f->x + 2, y + 12, room > 2 ? text : "");
}

static inline void svg_begin(DgHost *h, uint32_t rows)
{
    dg->print(h,
              "<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg' width='%.0f' height='%u' font-family='monospace' "
              "font-size='11'>\n"
              "<style>g:hover rect{stroke:#000}.found rect{fill:#c6f}#all,#find{cursor:pointer}</style>\n"
              "<text id='what' x='2' y='14'>instructions by stack</text>"
              "<text id='all' x='%.0f' y='14'></text><text id='find' x='%.0f' y='14'></text>\n",
              SVG_WIDTH, SVG_HEAD + rows * SVG_ROW, SVG_WIDTH - 170, SVG_WIDTH - 60);
}

/*
 * A click puts a frame over the whole width: what it calls is scaled with it, its callers are as wide as all, and what is beside it is hidden.
 * The picture is drawn from what it was at first, so nothing adds up.
 */
static inline void svg_end(DgHost *h)
{
    dg->print(h,
              "<script>//<![CDATA[\n"
              "const W=%.0f, CHAR=%.0f, byId=i=>document.getElementById(i);\n"
              "const frames=[...document.querySelectorAll('g')].map(g=>{\n"
              "  const rect=g.querySelector('rect'), text=g.querySelector('text'), title=g.querySelector('title').textContent;\n"
              "  return {g, rect, text, title, name:title.replace(/: \\d+ \\([\\d.]+%%\\), self \\d+$/,''),\n"
              "    x:+rect.getAttribute('x'), w:+rect.getAttribute('width'), y:+rect.getAttribute('y')};\n"
              "});\n"
              "const EDGE=0.02; // numbers have two places\n"
              "function show(top) {\n"
              "  for (const f of frames) {\n"
              "    const over=f.y<top.y && f.x<=top.x+EDGE && f.x+f.w>=top.x+top.w-EDGE;\n"
              "    const within=f.y>=top.y && f.x>=top.x-EDGE && f.x+f.w<=top.x+top.w+EDGE;\n"
              "    const x=over?0:(f.x-top.x)*W/top.w, w=over?W:f.w*W/top.w, room=Math.floor(w/CHAR);\n"
              "    f.g.style.display=over||within?'':'none';\n"
              "    f.g.style.opacity=over?0.5:1;\n"
              "    f.rect.setAttribute('x',x); f.rect.setAttribute('width',w);\n"
              "    f.text.setAttribute('x',x+2); f.text.textContent=room>2?f.name.slice(0,room):'';\n"
              "  }\n"
              "  byId('all').textContent=top===frames[0]?'':'show all';\n"
              "}\n"
              "// Of frames that are found within each other the outermost counts.\n"
              "function search(what) {\n"
              "  let found=0, end=-1;\n"
              "  const is=what?new RegExp(what):null, hits=frames.filter(f=>is&&is.test(f.name));\n"
              "  frames.forEach(f=>f.g.classList.toggle('found',hits.includes(f)));\n"
              "  for (const f of hits.sort((a,b)=>a.x-b.x||a.y-b.y))\n"
              "    if (f.x>=end-EDGE) { found+=f.w; end=f.x+f.w; }\n"
              "  byId('what').textContent=what?`${what}: ${(100*found/frames[0].w).toFixed(2)}%%`:'instructions by stack';\n"
              "}\n"
              "frames.forEach(f=>{ f.g.addEventListener('click',()=>show(f));\n"
              "  f.g.addEventListener('mouseover',()=>{ byId('what').textContent=f.title; }); });\n"
              "byId('all').addEventListener('click',()=>show(frames[0]));\n"
              "byId('find').textContent='search';\n"
              "byId('find').addEventListener('click',()=>{ const s=prompt('frames whose names match (regular expression)');\n"
              "  if (s!==null) try { search(s); } catch (e) { byId('what').textContent=e.message; } });\n"
              "//]]></script>\n</svg>\n",
              SVG_WIDTH, SVG_CHAR);
}

#endif
