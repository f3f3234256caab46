"""European options by Monte Carlo: a grid of strikes and volatilities, one task for each point.

Each task follows some thousand paths of the price; the answers are checked against the formula of
Black and Scholes, which this kind of option has.

    python examples/python/ported/option_pricing.py
"""

import math

import numpy as np
import phalanx as ipp

PRICE, RATE, DAYS, PATHS = 100.0, 0.05, 100, 4_000
STRIKES = np.linspace(90.0, 110.0, 5)
SIGMAS = np.linspace(0.1, 0.4, 4)


def price_options(S=100.0, K=100.0, sigma=0.25, r=0.05, days=260, paths=10000, seed=0):
    """The prices of a European call and put, and of an Asian call and put."""
    import numpy as np

    h = 1.0 / days
    const1 = math.exp((r - 0.5 * sigma**2) * h)
    const2 = sigma * math.sqrt(h)
    random = np.random.default_rng(seed)
    price = np.full(paths, S)
    price_sum = np.zeros(paths)
    for _ in range(days):
        price = price * const1 * np.exp(const2 * random.standard_normal(paths))
        price_sum += price
    average = price_sum / days
    discount = math.exp(-r * days * h)  # a year in all
    return (
        np.mean(np.maximum(price - K, 0)) * discount,
        np.mean(np.maximum(K - price, 0)) * discount,
        np.mean(np.maximum(average - K, 0)) * discount,
        np.mean(np.maximum(K - average, 0)) * discount,
    )


def black_scholes(S, K, sigma, r, years):
    """The exact prices of the European call and put."""

    def normal(x):
        return 0.5 * (1 + math.erf(x / math.sqrt(2)))

    d1 = (math.log(S / K) + (r + sigma**2 / 2) * years) / (sigma * math.sqrt(years))
    d2 = d1 - sigma * math.sqrt(years)
    discounted = K * math.exp(-r * years)
    return S * normal(d1) - discounted * normal(d2), discounted * normal(-d2) - S * normal(-d1)


def main():
    """Submits the grid, waits, and fills a table with it."""
    with ipp.Cluster(n=2) as rc:
        rc[:].execute("import math", block=True)
        view = rc.load_balanced_view()
        results = [
            view.apply_async(price_options, PRICE, K, sigma, RATE, DAYS, PATHS, seed)
            for seed, (K, sigma) in enumerate((K, s) for K in STRIKES for s in SIGMAS)
        ]
        print(f"submitted tasks: {len(results)}")
        rc.wait(results)
        kinds = [("ecall", float), ("eput", float), ("acall", float), ("aput", float)]
        prices = np.empty(len(results), dtype=kinds)
        for i, result in enumerate(results):
            prices[i] = tuple(result.get())
        engines = {result.engine_id for result in results}
        serial = sum(result.serial_time for result in results)

    prices.shape = len(STRIKES), len(SIGMAS)
    for i, K in enumerate(STRIKES):
        for j, sigma in enumerate(SIGMAS):
            call, put = black_scholes(PRICE, K, sigma, RATE, 1.0)
            tolerance = 5 * PRICE * sigma / math.sqrt(PATHS)
            assert abs(prices["ecall"][i, j] - call) < tolerance, (K, sigma)
            assert abs(prices["eput"][i, j] - put) < tolerance, (K, sigma)
    # An average varies less than what it is of: its options are worth less.
    assert (prices["acall"] < prices["ecall"]).all()
    assert engines == {0, 1}, "both engines priced"
    print("calls by strike (rows) and volatility:")
    print(np.array2string(prices["ecall"], precision=2))
    print(f"{serial:.2f} s of work on {len(engines)} engines")


if __name__ == "__main__":
    main()
