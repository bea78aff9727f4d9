"""Quantiles of the waits of many rounds together, from the few quantiles that each round reports."""
import bisect
import math
import random
import statistics

SHARES = {'p50': 0.5, 'p90': 0.9, 'p95': 0.95, 'p99': 0.99, 'p99_9': 0.999, 'max': 1.0}


def share_below(curve, wait):
    """The share of a round's waits that are at most `wait`, between two known quantiles on a logarithmic scale.

    >>> curve = {'p50': 10, 'p90': 100, 'p95': 200, 'p99': 400, 'p99_9': 500, 'max': 600}
    >>> [round(share_below(curve, wait), 3) for wait in (10, 31.623, 100, 400, 600, 700)]
    [0.5, 0.7, 0.9, 0.99, 1.0, 1.0]
    """
    waits, shares = [curve[name] for name in SHARES], list(SHARES.values())
    after = bisect.bisect_right(waits, wait)
    if after == len(waits):
        return 1.0
    if after == 0:
        return shares[0] * wait / waits[0]
    low, high = waits[after - 1], waits[after]
    part = math.log(wait / low) / math.log(high / low)
    return shares[after - 1] + part * (shares[after] - shares[after - 1])


def pooled_quantile(curves, share):
    """The wait that this share of all rounds' waits is at most. All rounds have as many waits.

    >>> quick = {'p50': 10, 'p90': 20, 'p95': 25, 'p99': 30, 'p99_9': 40, 'max': 50}
    >>> slow = {name: 1000 * wait for name, wait in quick.items()}
    >>> round(pooled_quantile([quick], 0.99), 3)
    30.0
    >>> round(pooled_quantile([quick] * 50 + [slow] * 50, 0.95), 3)
    20000.0
    >>> pooled_quantile([quick] * 99 + [slow], 0.99) < 60
    True
    """
    low, high = 0.0, float(max(curve['max'] for curve in curves))
    for _ in range(60):
        middle = (low + high) / 2
        enough = statistics.fmean(share_below(curve, middle) for curve in curves) >= share
        low, high = (low, middle) if enough else (middle, high)
    return high


def ratio_of(rounds, share=0.99):
    """Of the pooled quantiles with the disturbance to those without. `rounds` are pairs: (without, with)."""
    without, disturbed = zip(*rounds)
    return pooled_quantile(disturbed, share) / pooled_quantile(without, share)


def interval(rounds, times=1000, seed=1):
    """95 % of the ratios of as many rounds, drawn from `rounds` again and again (a bootstrap).

    >>> quick = {'p50': 10, 'p90': 20, 'p95': 25, 'p99': 30, 'p99_9': 40, 'max': 50}
    >>> twice = {name: 2 * wait for name, wait in quick.items()}
    >>> [round(bound, 3) for bound in interval([(quick, twice)] * 5, times=20)]
    [2.0, 2.0]
    >>> low, high = interval([(quick, quick), (quick, twice)] * 5, times=100)
    >>> low < ratio_of([(quick, quick), (quick, twice)] * 5) < high
    True
    """
    draw = random.Random(seed)
    ratios = sorted(ratio_of(draw.choices(rounds, k=len(rounds))) for _ in range(times))
    return ratios[int(0.025 * times)], ratios[min(int(0.975 * times), times - 1)]


def verdict(low, high, bar, rounds):
    """Says nothing about a few rounds: their interval is too short.

    >>> [verdict(low, high, 3, 40) for low, high in ((1, 2.9), (3.1, 5), (2, 4))]
    ['is at most 3', 'is over 3', 'is not known to be at most 3: more rounds are needed']
    >>> verdict(1, 2, 3, 5)
    'is not known to be at most 3: more rounds are needed'
    """
    if rounds >= 10 and high <= bar:
        return f'is at most {bar:g}'
    return f'is over {bar:g}' if rounds >= 10 and low > bar else f'is not known to be at most {bar:g}: more rounds are needed'
