"""Charts that are legible on light and on dark pages and need no font of their own."""
import sys

try:
    import matplotlib
except ImportError:
    sys.exit('report: matplotlib is missing (Debian: python3-matplotlib)')

matplotlib.use('svg')
from matplotlib import pyplot  # noqa: E402, only now is the kind of output chosen

# Greys and colours of middling lightness: enough contrast to white and to near-black.
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
    """The same for a server in all charts: ours stands out, the limits are grey."""
    others = iter(OTHERS * len(servers))
    return {server: OURS if server.startswith('wsserver') else TEXT if server.startswith('raw-') else next(others)
            for server in servers}


def draw(file, title, panels, colour_of):
    """Writes an SVG. panels: [(title, {server: value})]; colour_of: as colours() tells. Each panel has its own scale, and the value at each bar's end."""
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
    # No date, so that the same figures make the same file.
    figure.savefig(file, transparent=True, metadata={'Date': None})
    pyplot.close(figure)


def draw_panel(place, heading, values, colour_of):
    servers = list(values)
    place.barh(servers, list(values.values()), color=[colour_of[server] for server in servers], height=0.7)
    place.invert_yaxis()
    # Where one is hundreds of times another, a linear scale would show one bar only.
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
