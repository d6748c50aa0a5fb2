"""Figures as bars, one SVG a scenario: those that README shows."""

import os
from xml.sax.saxutils import escape

from scenarios import SCENARIOS

WIDTH, LABEL, BAR, GAP, TOP = 640, 110, 22, 8, 46
DRAWN = ("short", "keep")
COLOURS = {"carpool": "#1f6feb", "floor": "#8b949e"}


def bars(title, rows):
    """Who needs many times what the best ones do gets a bar that is cut short, or those could not be told apart."""
    rows = sorted(rows, key=lambda r: r[1])
    most = min(rows[-1][1], 5 * rows[len(rows) // 3][1]) or 1
    height = TOP + len(rows) * (BAR + GAP) + 8
    yield (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
           f'font-family="sans-serif" font-size="13" role="img" aria-label="{escape(title)}">')
    yield f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>'
    yield f'<text x="8" y="26" font-size="15" fill="#1f2328">{escape(title)}</text>'
    for i, (name, value) in enumerate(rows):
        y = TOP + i * (BAR + GAP)
        length = max(2, round((WIDTH - LABEL - 70) * min(value, most) / most))
        colour = COLOURS.get(name, "#d0d7de")
        text = ("… " if value > most else "") + (f"{value:.0f}" if value >= 100 else f"{value:.1f}")
        yield f'<text x="{LABEL - 8}" y="{y + 16}" text-anchor="end" fill="#1f2328">{escape(name)}</text>'
        yield f'<rect x="{LABEL}" y="{y}" width="{length}" height="{BAR}" rx="2" fill="{colour}"/>'
        yield f'<text x="{LABEL + length + 6}" y="{y + 16}" fill="#1f2328">{text}</text>'
    yield "</svg>"


def draw(results, folder):
    os.makedirs(folder, exist_ok=True)
    for name, result in ((n, results[n]) for n in DRAWN if n in results):
        s = SCENARIOS[name]
        rows = [(n, r.get("cpu_us")) for n, r in result["rows"].items() if n != "other"]
        rows = [(n, value) for n, value in rows if value is not None]
        if rows:
            with open(os.path.join(folder, f"{name}.svg"), "w", encoding="utf-8") as f:
                f.write("\n".join(bars(f"{s.title}: CPU microseconds a request", rows)) + "\n")
