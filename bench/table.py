"""The results as Markdown tables, for docs/benchmarks.md."""


def number(v, form="{:.2f}"):
    return "-" if v is None else form.format(v)


def ratio(row, x, y):
    return row[x] / row[y] if row.get(x) and row.get(y) else None


def times(rows):
    out = ["| group | item | native ms | QEMU | cold | warm | QEMU / native | cold / native | warm / native | QEMU / cold | QEMU / warm |",
           "|---|---|---|---|---|---|---|---|---|---|---|"]
    for r in rows:
        ms = [number(r[s] * 1000 if r.get(s) else None, "{:.1f}") for s in ("native", "qemu", "cold", "warm")]
        pairs = (("qemu", "native"), ("cold", "native"), ("warm", "native"), ("qemu", "cold"), ("qemu", "warm"))
        out.append("| " + " | ".join([r["group"], r["name"], *ms, *(number(ratio(r, *p)) for p in pairs)]) + " |")
    return out


def insides(rows):
    """What is counted rather than timed; the names are those of --stats."""
    out = ["| item | host instructions a guest instruction | translated cold, guest instructions | ns each | graphs cold | us each"
           " | translated warm | kept, guest instructions | graphs warm | native MiB | cold +MiB | warm +MiB |",
           "|---|---|---|---|---|---|---|---|---|---|---|---|"]
    for r in rows:
        cold, warm, hot = r.get("stats_cold", {}), r.get("stats_warm", {}), r.get("hot", {})
        per = lambda x, name, n, unit: x[name] / x[n] / unit if x.get(n) and name in x else None
        mib = lambda s: r[f"{s}_kib"] / 1024 if f"{s}_kib" in r else None
        more = lambda s: mib(s) - mib("native") if mib(s) and mib("native") else None
        whole = lambda x, name: number(x.get(name), "{:.0f}")
        out.append("| " + " | ".join([
            r["name"], number(per(hot, "host instructions executed", "guest instructions executed", 1)),
            whole(cold, "guest instructions"), number(per(cold, "translation ns", "guest instructions", 1), "{:.0f}"),
            whole(cold, "graphs"), number(per(cold, "graphs: ns", "graphs", 1000), "{:.0f}"),
            whole(warm, "guest instructions"), whole(warm, "guest instructions in them"), whole(warm, "graphs"),
            number(mib("native"), "{:.1f}"), number(more("cold"), "{:.1f}"), number(more("warm"), "{:.1f}")]) + " |")
    return out


def means(groups):
    out = ["| group | cold / native | warm / native | QEMU / native | QEMU / cold | QEMU / warm |", "|---|---|---|---|---|---|"]
    for g, m in groups.items():
        out.append("| " + " | ".join([g, *(number(m.get(k)) for k in ("cold/native", "warm/native", "qemu/native", "qemu/cold",
                                                                      "qemu/warm"))]) + " |")
    return out


def markdown(rows, groups):
    return "\n".join(["Time:", "", *times(rows), "", "Geometric means:", "", *means(groups), "", "Counts and memory:", "", *insides(rows), ""])
