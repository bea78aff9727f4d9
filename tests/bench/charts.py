"""Charts that are legible on light and dark pages and need no special font."""
import sys

try:
    import matplotlib
except ImportError:
    sys.exit('report: matplotlib is missing (Debian: python3-matplotlib)')

matplotlib.use('svg')
from matplotlib import pyplot  # noqa: E402, after the choice of the output

# Greys and colours of medium lightness, with enough contrast to white and to near-black.
TEXT, LINE = '#6e7781', '#6e778155'
OURS = '#e8711c'
OTHERS = ['#4c8fd6', '#3fa372', '#a371f7', '#c69026', '#d65d8a', '#3aa5b5', '#8d7b68', '#7f8ee0']
COLUMNS = 3
BAR, HEAD = 0.24, 0.75  # inches

matplotlib.rcParams.update({
    'svg.fonttype': 'none', 'svg.hashsalt': 'figures', 'font.family': 'sans-serif', 'font.size': 9,
    'text.color': TEXT, 'axes.labelcolor': TEXT, 'xtick.color': TEXT, 'ytick.color': TEXT, 'axes.edgecolor': LINE,
})


def number(value):
    return f'{value:,.0f}' if value >= 1000 else f'{value:.3g}'


def colours(servers):
    """A colour per server, the same in all charts. wsserver stands out, and the raw loops are grey."""
    others = iter(OTHERS * len(servers))
    return {server: OURS if server.startswith('wsserver') else TEXT if server.startswith('raw-') else next(others)
            for server in servers}


def draw(file, title, panels, colour_of):
    """Writes an SVG. panels: [(title, {server: value})]; colour_of: from colours().

    Each panel has its own scale, and each bar has its value at the end."""
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    bars = max(len(values) for _, values in panels)
    figure, grid = pyplot.subplots(rows, columns, squeeze=False, layout='constrained',
                                   figsize=(4.2 * columns, rows * (HEAD + BAR * bars) + 0.4))
    figure.suptitle(title, fontsize=11)
    places = list(grid.flat)
    for place, (heading, values) in zip(places, panels):
        draw_panel(place, heading, values, colour_of)
    for place in places[len(panels):]:
        place.axis('off')
    # Without a date the same figures make the same file.
    figure.savefig(file, transparent=True, metadata={'Date': None})
    pyplot.close(figure)


def draw_panel(place, heading, values, colour_of):
    servers = list(values)
    place.barh(servers, list(values.values()), color=[colour_of[server] for server in servers], height=0.7)
    place.invert_yaxis()
    # If one value is hundreds of times another, a linear scale would show only one bar.
    widest, narrowest = max(values.values()), min(values.values())
    logarithmic = narrowest > 0 and widest > 50 * narrowest
    place.set_title(heading + ' (logarithmic)' * logarithmic, fontsize=9)
    if logarithmic:
        place.set_xscale('log')
        place.set_xlim(narrowest / 2, widest * 8)
    else:
        place.set_xlim(0, widest * 1.25 or 1)
    for row, value in enumerate(values.values()):
        place.annotate(number(value), (value, row), xytext=(3, 0), textcoords='offset points', va='center')
    place.xaxis.set_visible(False)
    place.tick_params(axis='y', length=0)
    for side in ('top', 'right', 'bottom'):
        place.spines[side].set_visible(False)
