"""The tables as bars: three panels in one SVG, Plimsoll and the truth marked."""

from pathlib import Path

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt  # noqa: E402 - the backend is chosen first

import report  # noqa: E402

OURS, THEIRS, GROUND = "#0b6e4f", "#9aa5b1", "#334155"


def bars(axes, title: str, unit: str, rows: list[tuple[str, float]]):
    """The first row on top; a bar begins at 1, so that lengths of different panels mean the same."""
    colors = [OURS if name.startswith("plimsoll") else GROUND if name == "floor" else THEIRS for name, _ in rows]
    axes.barh([name for name, _ in rows], [value for _, value in rows], color=colors)
    axes.set_xscale("log")
    axes.set_xlim(1, max((value for _, value in rows), default=10) * 2.5)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.invert_yaxis()
    for index, (_, value) in enumerate(rows):
        axes.text(value, index, f" {value:,.1f}" if value < 100 else f" {value:,.0f}", va="center", fontsize=8)
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel(unit, fontsize=8)
    axes.tick_params(labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def panels(found: dict):
    """Title, unit, rows and the true value if there is one. Costs are sorted, reports stand as in the table: a mode beside its other."""
    if "cost" in found:
        part = found["cost"]
        rows = []
        for name, rounds in part["rounds"].items():
            figures = report.medians(rounds)
            value = figures["steady_us"] or figures["whole_us"]
            if value and name not in part["failed"]:
                rows.append((name, value))
        yield "CPU per request", "µs, 64 connections, log scale", ascending(rows), None
    if "memory" in found:
        part = found["memory"]
        slopes = ((name, report.per_user_bytes(result, part["users"])[0]) for name, result in part["results"].items())
        yield "Memory per user", "KB (PSS), log scale", ascending([(name, slope / 1024) for name, slope in slopes if slope]), None
    if "stall" in found:
        rows = [
            (f"{row['tool']}: {row['mode']}".replace("`", ""), row["said"]["p99"])
            for row in found["stall"]["rows"]
            if row["said"].get("p99")
        ]
        true = sorted(row["truth"]["p99"] for row in found["stall"]["rows"])
        yield (
            "p99 reported for a server that freezes",
            "ms, log scale; the line is the truth",
            rows,
            true[len(true) // 2] if true else None,
        )


def ascending(rows: list[tuple[str, float]]) -> list[tuple[str, float]]:
    return sorted(rows, key=lambda row: row[1])


def draw(found: dict, path: Path):
    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "peers", "font.family": "sans-serif"})
    drawn = list(panels(found))
    if not drawn:
        return
    heights = [max(2, len(rows)) for _, _, rows, _ in drawn]
    figure, axes = plt.subplots(
        len(drawn),
        1,
        figsize=(9, 0.27 * sum(heights) + 1.1 * len(drawn)),
        height_ratios=heights,
        squeeze=False,
        layout="constrained",
    )
    for panel, (title, unit, rows, true) in zip(axes[:, 0], drawn):
        bars(panel, title, unit, rows)
        if true:
            panel.axvline(true, color="#c2410c", linewidth=1)
    m = found["machine"]
    figure.suptitle(f"{m['cpu']}, {m['cores']} cores, Linux {m['kernel']}, {m['date']}", fontsize=8, x=0.01, ha="left")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
