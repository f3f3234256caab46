"""Are the digits of pi spread evenly? Engines count pairs of digits, each in files of its own.

The digits are computed here, cut into files as a download would bring them, and counted in parallel
by `map`; the frequencies are added up and compared with those of the plain loop.

    python examples/python/ported/pi_digits.py
"""

import tempfile
from pathlib import Path

import phalanx as ipp

DIGITS = 20_000
FILES = 8


def pi_digits(count):
    """The first digits of pi after the point, by Machin's formula in whole numbers."""
    guard = 10
    unit = 10 ** (count + guard)

    def arctan_of_inverse(x):
        term = unit // x
        total, sign, n = term, -1, 3
        while term:
            term //= x * x
            total += sign * (term // n)
            sign, n = -sign, n + 2
        return total

    pi = 4 * (4 * arctan_of_inverse(5) - arctan_of_inverse(239))
    return [int(digit) for digit in _decimal(pi // 10**guard)[1:]]


def _decimal(number):
    """The decimal digits of a number too long for `str` with its default limit."""
    chunk = 10**4000
    parts = []
    while number:
        number, low = divmod(number, chunk)
        parts.append(f"{low:04000d}")
    return "".join(reversed(parts)).lstrip("0")


def digits_of_file(filename):
    """The digits in a text file, one by one."""
    with open(filename) as file:
        return [int(char) for char in file.read() if char.isdigit()]


def two_digit_freqs(filename):
    """How often each of the hundred pairs of neighbours occurs in a file."""
    digits = digits_of_file(filename)
    freqs = [0] * 100
    for left, right in zip(digits, digits[1:], strict=False):
        freqs[10 * left + right] += 1
    return freqs


def reduce_freqs(freqs):
    """The sum of lists of frequencies."""
    return [sum(column) for column in zip(*freqs, strict=True)]


def main():
    """Counts on all engines and here, and prints the pairs that stand out."""
    digits = pi_digits(DIGITS)
    assert digits[:10] == [1, 4, 1, 5, 9, 2, 6, 5, 3, 5]
    with tempfile.TemporaryDirectory() as folder, ipp.Cluster(n=2) as c:
        size = DIGITS // FILES
        filenames = []
        for i in range(FILES):
            path = Path(folder) / f"pi-{i:02d}.txt"
            path.write_text("".join(map(str, digits[i * size : (i + 1) * size])))
            filenames.append(str(path))

        v = c[:]
        v.block = True
        v.push({"digits_of_file": digits_of_file})
        freqs_all = v.map(two_digit_freqs, filenames)
        freqs = reduce_freqs(freqs_all)
        assert freqs_all == [two_digit_freqs(filename) for filename in filenames]

    assert sum(freqs) == DIGITS - FILES
    expected = sum(freqs) / 100
    chi_square = sum((n - expected) ** 2 / expected for n in freqs)
    most, least = max(range(100), key=freqs.__getitem__), min(range(100), key=freqs.__getitem__)
    print(
        f"{sum(freqs)} pairs: most often {most:02d} ({freqs[most]}), least {least:02d} ({freqs[least]})"
    )
    print(f"chi square of 99 degrees of freedom: {chi_square:.1f}")
    assert 50 < chi_square < 160, "the digits look evenly spread"


if __name__ == "__main__":
    main()
