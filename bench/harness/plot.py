"""Bar charts as SVG, enough for a report and nothing else."""
from xml.sax.saxutils import escape

COLORS = ["#1f6f8b", "#4fa3c0", "#a5d0e0", "#4d4d4d", "#7f7f7f", "#b07d3c", "#d9b98a", "#c9c9c9"]
WIDTH, GAP, LEFT, TOP, HEIGHT = 960, 26, 46, 64, 260


def bars(title, groups, line=1.0):
    """@param groups {label of a group: {name of a bar: value}} @param line where a dashed line is drawn @return the SVG's text"""
    names = list(dict.fromkeys(name for g in groups.values() for name in g))
    top = max([line, *(v for g in groups.values() for v in g.values())]) * 1.08
    slots = sum(len(g) for g in groups.values())
    bar = (WIDTH - LEFT - GAP * (len(groups) + 1)) / max(1, slots)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {TOP + HEIGHT + 44}" font-family="sans-serif" font-size="11">',
           f'<rect width="{WIDTH}" height="{TOP + HEIGHT + 44}" fill="white"/>', f'<text x="{LEFT}" y="18" font-size="14">{escape(title)}</text>']
    x = float(LEFT)
    for i, name in enumerate(names):
        out.append(f'<rect x="{x:.0f}" y="30" width="10" height="10" fill="{COLORS[i % len(COLORS)]}"/><text x="{x + 14:.0f}" y="39">{escape(name)}</text>')
        x += 26 + 6.4 * len(name)

    def y(value):
        return TOP + HEIGHT * (1 - value / top)

    step = nice_step(top)
    for k in range(int(top / step) + 1):
        at = y(k * step)
        out.append(f'<line x1="{LEFT}" x2="{WIDTH}" y1="{at:.1f}" y2="{at:.1f}" stroke="#e4e4e4"/><text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{k * step:g}</text>')
    x = LEFT + GAP
    for label, group in groups.items():
        begin = x
        for name, value in group.items():
            out.append(f'<rect x="{x:.1f}" y="{y(value):.1f}" width="{bar * 0.88:.1f}" height="{y(0) - y(value):.1f}" fill="{COLORS[names.index(name) % len(COLORS)]}">'
                       f'<title>{escape(label)}, {escape(name)}: {value:.2f}</title></rect>')
            out.append(f'<text x="{x + bar * 0.44:.1f}" y="{y(value) - 3:.1f}" text-anchor="middle" font-size="8">{value:.2g}</text>')
            x += bar
        out.append(f'<text x="{(begin + x) / 2:.1f}" y="{TOP + HEIGHT + 18}" text-anchor="middle">{escape(label)}</text>')
        x += GAP
    out.append(f'<line x1="{LEFT}" x2="{WIDTH}" y1="{y(line):.1f}" y2="{y(line):.1f}" stroke="#b03030" stroke-dasharray="5 4"/>')
    return "\n".join(out + ["</svg>", ""])


def nice_step(top):
    """1, 2 or 5 times a power of ten, so that there are four to ten lines."""
    step = 10.0 ** -3
    while True:
        for factor in (1, 2, 5):
            if top / (step * factor) <= 10:
                return step * factor
        step *= 10
