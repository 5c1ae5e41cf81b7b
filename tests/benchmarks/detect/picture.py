"""Charts of the figures as SVG text: lines over days, and bars by device."""

from collections.abc import Mapping, Sequence
from html import escape

COLOURS = ("#1f5fa8", "#c8501e", "#2c8a4b", "#7a4fa3", "#8a6d1d", "#5b6470")
FONT = 'font-family="system-ui, sans-serif" font-size="12"'
LEFT, TOP, WIDTH, HEIGHT = 52, 44, 460, 200
NAME_WIDTH, BAR, BARS_WIDTH = 190, 18, 400
Points = Sequence[float | None]


def lines(title: str, days: Sequence[float], series: Mapping[str, Points]) -> str:
    """Return shares in percent over days, which are spaced evenly as they grow by factors."""
    body = [_text(LEFT, 22, title, weight="bold")]
    for percent in (0, 25, 50, 75, 100):
        y = _y(percent)
        body.append(f'<line x1="{LEFT}" y1="{y:g}" x2="{LEFT + WIDTH}" y2="{y:g}" stroke="#d8dce2"/>')
        body.append(_text(LEFT - 8, y + 4, f"{percent} %", anchor="end"))
    places = [LEFT + (place + 0.5) * WIDTH / len(days) for place in range(len(days))]
    for x, day in zip(places, days, strict=True):
        body.append(_text(x, TOP + HEIGHT + 18, f"{day:g} d", anchor="middle"))
    for number, (name, values) in enumerate(series.items()):
        colour, dash = (
            COLOURS[number % len(COLOURS)],
            ' stroke-dasharray="5 4"' if number >= len(COLOURS) else "",
        )
        points = [(x, _y(value)) for x, value in zip(places, values, strict=True) if value is not None]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        body.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        body += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
        y = TOP + 14 + 20 * number
        x1, x2 = LEFT + WIDTH + 16, LEFT + WIDTH + 40
        body.append(f'<line x1="{x1}" y1="{y}" x2="{x2}" y2="{y}" stroke="{colour}" stroke-width="2"{dash}/>')
        body.append(_text(x2 + 6, y + 4, name))
    height = max(TOP + HEIGHT + 34, TOP + 24 + 20 * len(series))
    return _page(LEFT + WIDTH + 240, height, body)


def bars(title: str, rows: Mapping[str, tuple[float, float]], words: tuple[str, str]) -> str:
    """Return two bars for each name, the second one thin, on one scale from 0."""
    top = max((max(pair) for pair in rows.values()), default=0.0) or 1.0
    body = [_text(12, 22, title, weight="bold")]
    for number, word in enumerate(words):
        x = NAME_WIDTH + 150 * number
        body.append(f'<rect x="{x}" y="34" width="12" height="10" fill="{COLOURS[number]}"/>')
        body.append(_text(x + 18, 43, word))
    for number, (name, pair) in enumerate(rows.items()):
        y = 58 + number * (BAR + 8)
        body.append(_text(NAME_WIDTH - 8, y + 13, name, anchor="end"))
        for which, (value, height) in enumerate(zip(pair, (BAR - 6, 4), strict=True)):
            wide = BARS_WIDTH * value / top
            place = y + (0 if which == 0 else BAR - 5)
            size = f'width="{wide:.1f}" height="{height}"'
            body.append(f'<rect x="{NAME_WIDTH}" y="{place}" {size} fill="{COLOURS[which]}"/>')
        wide = BARS_WIDTH * max(pair) / top
        body.append(_text(NAME_WIDTH + wide + 6, y + 12, f"{pair[0]:g} / {pair[1]:g}"))
    return _page(NAME_WIDTH + BARS_WIDTH + 110, 70 + len(rows) * (BAR + 8), body)


def _y(percent: float) -> float:
    return TOP + HEIGHT * (1.0 - percent / 100.0)


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" {FONT} fill="#22262b">'
        f"{escape(text)}</text>"
    )


def _page(width: float, height: float, body: Sequence[str]) -> str:
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}">',
            '<rect width="100%" height="100%" fill="#ffffff"/>',
            *body,
            "</svg>\n",
        )
    )
