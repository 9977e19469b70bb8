"""What bench/compare found, for people: a table, goals kept or not, and a picture."""
import html
import statistics


def number(value, unit):
    if unit == "us" and value >= 10000:
        return f"{value / 1000:.1f} ms"
    if unit == "us" and value >= 1000:
        return f"{value / 1000:.2f} ms"
    if unit == "us":
        return f"{value:.0f} µs"
    if unit == "/s":
        return f"{value:.0f}/s"
    if unit == "x":
        return f"{value:.2f} x"
    return f"{value:.0f} {unit}" if value >= 100 else f"{value:.1f} {unit}"


def cell(values, unit):
    if not values:
        return ""
    middle = number(statistics.median(values), unit)
    return middle if len(values) < 2 else f"{middle} ({number(min(values), unit)} to {number(max(values), unit)})"


def advantage(ours, theirs, more_is_better):
    """How many times better we are.  From round to round, so that what slowed both does not count; the median of those."""
    each = [a / b if more_is_better else b / a for a, b in zip(ours, theirs) if a and b]
    return statistics.median(each) if each else None


def times(factor):
    if factor is None:
        return ""
    return f"{factor:.1f} x" if factor < 10 else f"{factor:.0f} x"


class Figure:
    """One line of the table.  `get` takes it out of a report.  Goals: at_least {peer: how many times better than that},
    at_most: a value of our own.  `drawn`: it is in the picture."""

    def __init__(self, title, unit, get, more_is_better=False, at_least=None, at_most=None, drawn=False):
        self.title, self.unit, self.get, self.more, self.drawn = title, unit, get, more_is_better, drawn
        self.at_least, self.at_most = at_least or {}, at_most

    def values(self, reports):
        return [v for v in (self.get(r) for r in reports) if v is not None]

    def words(self, report):
        return f"{self.title} {number(self.get(report), self.unit)}"

    def verdict(self, ours, factors):
        """The goals, each with whether it was reached."""
        words = [f"{goal} x {peer}: {reached(factors[peer] >= goal)}" for peer, goal in self.at_least.items()
                 if factors.get(peer) is not None]
        if self.at_most is not None and ours:
            words.append(f"at most {number(self.at_most, self.unit)}: {reached(statistics.median(ours) <= self.at_most)}")
        return "; ".join(words)


def reached(good):
    return "reached" if good else "**missed**"


def rows(wanted, servers, reports):
    """(measurement, figure, {server: values}, {peer: how many times better Postern is}) of each line."""
    for m in wanted:
        for figure in m.figures:
            values = {s: figure.values(reports.get(m.key, {}).get(s, [])) for s in servers}
            ours = values.get("Postern", [])
            factors = {s: advantage(ours, values[s], figure.more) for s in servers if s != "Postern" and ours and values[s]}
            yield m, figure, values, factors


def table(wanted, servers, reports):
    peers = [s for s in servers if s != "Postern"]
    head = ["what", *servers, *(f"better than {p}" for p in peers), "goal"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    last = None
    for m, figure, values, factors in rows(wanted, servers, reports):
        if m is not last:
            lines.append(f"| **{m.title}** |" + " |" * (len(head) - 1))
            last = m
        cells = [figure.title, *(cell(values[s], figure.unit) for s in servers), *(times(factors.get(p)) for p in peers),
                 figure.verdict(values.get("Postern"), factors)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


# ---- the picture: for each figure that is drawn a bar for each server, as long as its figure ----

WIDTH, LEFT, BAR, ROW = 760, 110, 500, 19
COLOURS = ["#0b7a75", "#c8553d", "#e0a458", "#7a6c9d", "#5b8e7d"]  # in the order of the servers
STYLE = ("text{font:12px system-ui,sans-serif;fill:#1f2933}.m{font-weight:600;font-size:14px}.n{fill:#616e7c}"
         ".l{text-anchor:end}.v{fill:#3e4c59}")


def text(x, y, kind, words):
    return f'<text x="{x:.1f}" y="{y}" class="{kind}">{html.escape(words)}</text>'


def bars(figure, values, servers, y):
    middle = {s: statistics.median(v) for s, v in values.items() if v}
    longest = max(middle.values()) or 1
    for server, value in middle.items():
        width = max(value / longest * BAR, 1.5)
        yield text(LEFT - 8, y + 13, "l", server)
        yield (f'<rect x="{LEFT}" y="{y + 2}" width="{width:.1f}" height="{ROW - 5}" rx="2" '
               f'fill="{COLOURS[servers.index(server) % len(COLOURS)]}"/>')
        yield text(LEFT + width + 6, y + 13, "v", number(value, figure.unit))
        y += ROW


def picture(wanted, servers, reports):
    parts, y, last = [], 4, None
    for m, figure, values, _ in rows(wanted, servers, reports):
        shown = [v for v in values.values() if v]
        if not figure.drawn or len(shown) < 2:
            continue
        if m is not last:
            y += 26
            parts.append(text(12, y, "m", m.title))
            last = m
        y += 22
        parts.append(text(12, y, "n", f"{figure.title} ({'longer' if figure.more else 'shorter'} is better)"))
        y += 6
        parts += bars(figure, values, servers, y)
        y += ROW * len(shown)
    y += 14
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}" role="img">'
            f'<title>The same load upon each server</title><style>{STYLE}</style>'
            f'<rect width="100%" height="100%" fill="#ffffff"/>{"".join(parts)}</svg>\n')
