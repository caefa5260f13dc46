"""Flame graphs: what `perf script` says, folded, as SVG."""
import re
from xml.sax.saxutils import escape

WIDTH, ROW, MARGIN = 1200, 16, 10


def shorter(symbol):
    """A C++ name without arguments and templates: vr::http::Connection::Serve."""
    symbol = re.sub(r"\+0x[0-9a-f]+$", "", symbol).replace("(anonymous namespace)::", "")
    out, depth = [], 0
    for c in symbol:
        if c == "<":
            depth += 1
        elif c == ">" and depth:
            depth -= 1
        elif c == "(" and not depth and out:
            break
        elif not depth:
            out.append(c)
    return "".join(out).split(" [clone")[0].strip() or symbol


def fold(text):
    """@param text of `perf script -F comm,ip,sym` @return {(outermost, ..., innermost): samples}"""
    folded, stack = {}, []
    for line in [*text.splitlines(), ""]:
        frame = re.match(r"\s+[0-9a-f]+ (.+?)(?: \(.*\))?$", line)
        if frame:
            stack.append(shorter(frame.group(1)))
        elif not line.strip() and stack:
            key = tuple(reversed(stack))
            folded[key] = folded.get(key, 0) + 1
            stack = []
    return folded


def own_time(folded):
    """[(symbol, share)] of what was running itself, most first."""
    total, own = sum(folded.values()), {}
    for stack, count in folded.items():
        own[stack[-1]] = own.get(stack[-1], 0) + count
    return sorted(((symbol, count / total) for symbol, count in own.items()), key=lambda pair: (-pair[1], pair[0]))


def share_below(folded, pattern):
    """Share of the samples with a frame whose name the regular expression finds."""
    total = sum(folded.values())
    return sum(count for stack, count in folded.items() if any(re.search(pattern, frame) for frame in stack)) / total if total else 0.0


def color(symbol):
    """Ours green, kernel grey-blue, libraries orange."""
    if symbol.startswith("vr::"):
        return "#7fb77e"
    return "#d9a566" if "::" in symbol else "#9db4c6"


def graph(title, folded, least=0.002):
    """@param least share below which a frame is left out @return the SVG's text"""
    total = sum(folded.values())
    stacks = sorted(folded.items())
    rows, deepest = [], 0

    def level(items, depth, x):
        nonlocal deepest
        i = 0
        while i < len(items):
            name, count, j = items[i][0][depth], 0, i
            while j < len(items) and items[j][0][depth] == name:
                count += items[j][1]
                j += 1
            if count / total >= least:
                deepest = max(deepest, depth)
                rows.append((depth, x, count, name))
                level([item for item in items[i:j] if len(item[0]) > depth + 1], depth + 1, x)
            x += count
            i = j

    level(stacks, 0, 0)
    height = (deepest + 1) * ROW + 2 * MARGIN + 24
    scale = (WIDTH - 2 * MARGIN) / total
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="10">',
           f'<rect width="{WIDTH}" height="{height}" fill="white"/>', f'<text x="{MARGIN}" y="18" font-size="13">{escape(title)}</text>']
    for depth, x, count, name in rows:
        left, width, top = MARGIN + x * scale, count * scale, height - MARGIN - (depth + 1) * ROW
        text = name if len(name) * 5.4 < width else name[:max(0, int(width / 5.4) - 1)]
        out.append(f'<g><title>{escape(name)}: {count / total:.1%}</title><rect x="{left:.1f}" y="{top}" width="{max(width - 0.4, 0.2):.1f}" height="{ROW - 1}" fill="{color(name)}"/>'
                   + (f'<text x="{left + 2:.1f}" y="{top + 11}">{escape(text)}</text>' if len(text) > 2 else "") + "</g>")
    return "\n".join(out + ["</svg>", ""])
