#!/usr/bin/python3
# Debian's Python, because Debian's matplotlib works only with it.
"""Makes a page and charts from the output of `bench --json`.

usage: report.py --into FOLDER FILE...

The files hold JSON lines of one or more runs on the same machine. Writes figures.md and an SVG for each mode to FOLDER.
"""
import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median

import charts

# For each mode: the title, the figure in the charts and tables, and what it is.
MODES = {
    'echo': ('Echo', 'us', 'µs of server CPU for each echoed message'),
    'fan-out': ('Fan-out', 'us', 'µs of server CPU for each delivery'),
    'handshake': ('Handshakes', 'us', 'µs of server CPU for each connection, from accept to close'),
    'memory': ('Memory', 'bytes', 'bytes of anonymous memory for each idle connection'),
    'fairness': ('Fairness', 'p99_us', 'µs in which 99 % of the messages of quiet connections are echoed'),
}
# The fields of a row that describe the load. The other fields are figures.
CASE = ['cores', 'receivers', 'connections', 'at_a_time', 'in_flight', 'size', 'beside']


def read(files):
    """The rows of all runs by mode, and the descriptions of the runs."""
    rows, about = defaultdict(list), []
    for file in files:
        for line in file.read_text(encoding='utf-8').splitlines():
            row = json.loads(line)
            if row['mode'] == 'about':
                about.append(row)
            else:
                rows[row['mode']].append(row)
    return rows, about


def case_of(row):
    return tuple((key, row[key]) for key in CASE if key in row)


def merged(rows):
    """{case: {server: figures}} in the order of the rows, wsserver first. Takes medians if a case was run several times."""
    found = defaultdict(lambda: defaultdict(list))
    for row in rows:
        found[case_of(row)][row['server']].append(row)
    return {case: {server: one_of(servers[server]) for server in sorted(servers, key=is_other)}
            for case, servers in found.items()}


def is_other(server):
    return not server.startswith('wsserver')


def one_of(rows):
    figures = {}
    for key, value in rows[0].items():
        if key in CASE or isinstance(value, str):
            continue
        choose = {'ratio_min': min, 'ratio_max': max}.get(key, median)
        figures[key] = choose(row[key] for row in rows)
    return figures


def number(value):
    if value >= 1000:
        return f'{value:,.0f}'
    return f'{value:.3g}'


def words(value):
    return f'{value:,}' if isinstance(value, int) else str(value)


def table(heading, lines):
    """A table in Markdown. A heading that ends with a colon is for a column of numbers."""
    yield '| ' + ' | '.join(name.rstrip(':') for name in heading) + ' |'
    yield '|' + '|'.join('---:' if name.endswith(':') else '---' for name in heading) + '|'
    for line in lines:
        yield '| ' + ' | '.join(line) + ' |'


def servers_of(cases):
    return list(dict.fromkeys(server for servers in cases.values() for server in servers))


def cost_table(cases, key):
    """A row per case, a column per server."""
    servers = servers_of(cases)
    names = list(dict.fromkeys(name for case in cases for name, _ in case))
    lines = []
    for case, figures in cases.items():
        label = [words(dict(case).get(name, '')) for name in names]
        lines.append(label + [cost(figures.get(server), key) for server in servers])
    return table([name.replace('_', ' ') + ':' for name in names] + [server + ':' for server in servers], lines)


def cost(figures, key):
    if figures is None:
        return ''
    if 'ratio' not in figures or (figures['ratio_min'] == figures['ratio_max'] == 1):
        return number(figures[key])
    return f'{number(figures[key])} ({figures["ratio"]:.2f})'


def fairness_table(cases):
    lines = []
    for case, servers in cases.items():
        for server, figures in servers.items():
            lines.append([dict(case)['beside'], server] +
                         [number(figures[key]) for key in ('p50_us', 'p99_us', 'max_us', 'taken_mb_s')])
    return table(['beside', 'server', '50 %, µs:', '99 %, µs:', 'longest, µs:', 'taken, MB/s:'], lines)


def title_of(case, cases):
    """The title of one case in a chart. Omits what all cases have in common."""
    parts = []
    for name, value in case:
        if len(cases) > 1 and all(dict(other).get(name) == value for other in cases):
            continue
        if name == 'size':
            parts.append(f'{words(value)} bytes')
        elif name == 'beside':
            parts.append('alone' if value == 'none' else f'beside one: {value}')
        elif name == 'cores':
            parts.append({'same': 'one core', 'apart': 'two cores'}.get(value, 'not pinned'))
        else:
            parts.append(f'{words(value)} {name.replace("_", " ")}'.removesuffix('s' if value == 1 else ''))
    return ', '.join(parts)


def page(rows, about, into):
    yield '# Figures\n'
    yield 'Made by `tests/bench/all`; [performance.md](../performance.md) says what is measured and how.\n'
    yield from facts(about)
    colour_of = charts.colours(list(dict.fromkeys(row['server'] for mode in rows.values() for row in mode)))
    for mode, (title, key, what) in MODES.items():
        if mode not in rows:
            continue
        cases = merged(rows[mode])
        panels = [(title_of(case, cases), {server: figures[key] for server, figures in servers.items()})
                  for case, servers in cases.items()]
        charts.draw(into / f'{mode}.svg', what, panels, colour_of)
        yield f'\n## {title}\n'
        base = rows[mode][0].get('base')
        yield what + (f'; in brackets the ratio to {base}.\n' if base else '.\n')
        yield f'![{what}]({mode}.svg)\n'
        yield from fairness_table(cases) if mode == 'fairness' else cost_table(cases, key)


def facts(about):
    """Where and how the figures were taken. Lists all values if the runs differ."""
    def all_of(key):
        return ', '.join(dict.fromkeys(str(run[key]) for run in about if key in run))
    lines = [('Taken on', all_of('date')), ('Commit', all_of('commit')), ('System', all_of('system')),
             ('Processor', f'{all_of("processor")} ({all_of("processors")} of them)'),
             ('Rounds', all_of('rounds')), ('Window, ms', all_of('window_ms'))]
    for name, value in lines:
        if value:
            yield f'- {name}: {value}'


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--into', type=Path, required=True, metavar='FOLDER')
    parser.add_argument('files', type=Path, nargs='+', metavar='FILE')
    arguments = parser.parse_args()
    rows, about = read(arguments.files)
    if not rows:
        sys.exit('report: there are no figures')
    arguments.into.mkdir(parents=True, exist_ok=True)
    text = '\n'.join(page(rows, about, arguments.into)) + '\n'
    (arguments.into / 'figures.md').write_text(text, encoding='utf-8')


if __name__ == '__main__':
    main()
