"""Words of the standard library's sources, counted by map and reduce on engines that keep their part.

File names are scattered; each engine counts the words of its files under a name in its namespace;
the counts are pulled and added up, and only the most frequent words are printed.

    python examples/python/ported/word_count.py
"""

import glob
import os
import re
from collections import Counter

import phalanx as ipp

FILES = 150


def wordfreq(text):
    """How often each word of a text occurs, capitals or not."""
    import re
    from collections import Counter

    return Counter(re.findall(r"[a-z]+", text.lower()))


def files_wordfreq(filenames):
    """The words of several files together; uses `wordfreq`, which was pushed."""
    total = wordfreq("")
    for filename in filenames:
        with open(filename, encoding="utf-8", errors="replace") as file:
            total.update(wordfreq(file.read()))
    return dict(total)


def print_wordfreq(freqs, n=8):
    """The most frequent words of a dict of counts."""
    words = sorted(freqs.items(), key=lambda pair: (-pair[1], pair[0]))
    for word, count in words[:n]:
        print(f"{count:>8} {word}")


def pwordfreq(view, filenames):
    """The words of many files, by all engines of a view."""
    view.scatter("filenames", filenames, block=True)
    view.push({"wordfreq": wordfreq, "files_wordfreq": files_wordfreq}, block=True)
    ar = view.execute("freqs = files_wordfreq(filenames)", block=False)
    ar.get()
    total = Counter()
    for freqs in view.pull("freqs", block=True):
        total.update(freqs)
    return dict(total)


def main():
    """Counts with one process and with the cluster; both must agree."""
    folder = os.path.dirname(os.__file__)
    filenames = sorted(glob.glob(os.path.join(folder, "*.py")))[:FILES]
    assert len(filenames) > 50, "the sources of the standard library are installed"

    serial = files_wordfreq(filenames)
    with ipp.Cluster(n=4) as rc:
        view = rc[:]
        parts = view.apply_sync(os.getpid)
        assert len(set(parts)) == len(rc), "four processes"
        parallel = pwordfreq(view, filenames)
        sizes = view.apply_sync(len, ipp.Reference("filenames"))
        # The same by a balanced map, a task for each file, reduced here as the parts come in.
        balanced = Counter()
        for counts in rc.load_balanced_view().map_async(
            lambda path: wordfreq(open(path, errors="replace").read()), filenames, ordered=False
        ):
            balanced.update(counts)

    assert parallel == serial
    assert dict(balanced) == serial
    assert sum(sizes) == len(filenames) and max(sizes) - min(sizes) <= 1
    assert all(re.fullmatch("[a-z]+", word) for word in parallel)
    print(f"{sum(parallel.values())} words in {len(filenames)} files, {sizes} to the engines")
    print_wordfreq(parallel)


if __name__ == "__main__":
    main()
