"""Medians, ratios pair by pair, and how numbers are written."""
import statistics


def median(values):
    return statistics.median(values) if values else None


def paired(ours, theirs):
    """Ratios of samples of the same round: what the machine did to both cancels out. @return (median, least, most), or None"""
    ratios = [a / b for a, b in zip(ours, theirs) if a is not None and b]
    return (statistics.median(ratios), min(ratios), max(ratios)) if ratios else None


def count(value):
    """12,345; three significant digits below 100."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def micros(value):
    """A time given in microseconds."""
    if value is None:
        return "-"
    if value >= 1e6:
        return f"{value / 1e6:.2f} s"
    if value >= 1e3:
        return f"{value / 1e3:.1f} ms" if value < 1e5 else f"{value / 1e3:.0f} ms"
    return f"{value:.1f} us" if value < 100 else f"{value:.0f} us"


def size(bytes_):
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if bytes_ >= unit:
            return f"{bytes_ / unit:.3g} {name}"
    return f"{bytes_} B"


def ratio(found):
    """@param found what paired() returned"""
    if found is None:
        return "-"
    return f"{found[0]:.2f} [{found[1]:.2f}-{found[2]:.2f}]"


def table(head, rows, left=1):
    """A Markdown table; the first `left` columns are text, the others numbers."""
    out = ["| " + " | ".join(head) + " |", "|" + "|".join("---" if i < left else "---:" for i in range(len(head))) + "|"]
    return "\n".join(out + ["| " + " | ".join(str(c) for c in row) + " |" for row in rows])
